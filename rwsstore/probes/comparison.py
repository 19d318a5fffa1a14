"""Everything that `rws compare` finds, as data, as tables of 80 characters, and as heat maps."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor

from rwsstore.corruptions import GROUPS, frost_source
from rwsstore.drawing import draw_heat_map, mark_groups, new_figure, panels, png_bytes, rows_of
from rwsstore.models import short_names
from rwsstore.probes.gains import Gains
from rwsstore.probes.groups import RELABELINGS, GroupContrast, contrast_groups
from rwsstore.probes.report import Report
from rwsstore.probes.similarity import Similarity, group_of
from rwsstore.tables import Column, Table, json_values

_WIDEST = 20
_NO_GROUPS = "needs two corruptions of one group and one of another"
_SIGNED, _UNSIGNED = "RdBu", "Blues"
_MAPS_A_ROW = 3
# Cells, in inches; a number of three characters fits.
_CELL = 0.34


@dataclass(frozen=True)
class LayerSummary:
    """One layer, over all patches.

    Attributes:
        name: of the layer.
        clean_norm: ‖θ_std‖₂.
        norm: mean ‖Δ‖₂.
        relative_norm: mean ‖Δ‖₂ / ‖θ_std‖₂; None where the clean layer is all zeros.
        energy: mean share of the squared norm.
        cosine: mean over the pairs of patches; None where there are none.
        groups: whether the groups appear in the layer's cosines; None where that cannot be asked.
    """

    name: str
    clean_norm: float
    norm: float
    relative_norm: float | None
    energy: float
    cosine: float | None
    groups: GroupContrast | None


@dataclass(frozen=True, eq=False)
class Comparison(Report):
    """Patches of one model compared.

    Attributes:
        similarity: norms and cosines.
        layers: a summary of each layer.
        groups: whether the groups appear in the cosines of whole signatures; None where the
            patches are of too few corruptions to ask.
        gains: what each patch gains on every corruption, where that was measured.
        gain_groups: whether the groups appear there.
        gain_correlation: Pearson's, between the cosine of two patches and what one gains on the
            corruption of the other, over pairs of different corruptions; None with fewer than
            three pairs, or where one of both does not vary.
    """

    similarity: Similarity
    layers: tuple[LayerSummary, ...]
    groups: GroupContrast | None
    gains: Gains | None
    gain_groups: GroupContrast | None
    gain_correlation: float | None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values; what is not defined is null."""
        found, gains = self.similarity, self.gains
        document = {
            "patches": [
                {
                    "name": one.name,
                    "digest": one.digest,
                    "corruption": one.corruption,
                    "group": one.group,
                    "norm": found.total_norms[place],
                    "relative_norm": found.total_relative_norms[place],
                    "layer_norms": found.norms[place],
                    "relative_layer_norms": found.relative_norms[place],
                }
                for place, one in enumerate(found.signatures)
            ],
            "cosine": found.cosine,
            "groups": _contrast(self.groups),
            "layers": [
                {**vars(layer), "groups": _contrast(layer.groups), "cosines": cosines}
                for layer, cosines in zip(self.layers, found.layer_cosine, strict=True)
            ],
            "gains": None,
        }
        if gains is not None:
            options = gains.options
            document["gains"] = {
                "dataset": gains.dataset,
                "images": gains.images,
                "severity": options.severity,
                "seed": options.seed,
                "frost_source": frost_source(options.frost_overlays),
                "corruptions": options.corruptions,
                "clean_accuracy": gains.clean_ta,
                "clean_model": gains.clean_ra,
                "patched": gains.ra,
                "patched_clean_accuracy": gains.ta,
                "gains": gains.gains,
                "costs": gains.costs,
                "groups": _contrast(self.gain_groups),
                "correlation_with_cosine": self.gain_correlation,
            }
        values: dict[str, Any] = json_values(document)
        return values

    def parts(self) -> Iterator[Table | str]:
        """Tables of at most 80 characters, up to 20 patches; more have no matrices."""
        yield self._patches()
        yield self._layers()
        if len(self._names) <= _WIDEST:
            yield "Cosine similarity in hundredths"
            heads = [str(number) for number in range(1, len(self._names) + 1)]
            cosines = 100 * self.similarity.cosine
            yield from matrix_lines(cosines, self._names, heads, blank_diagonal=True)
            yield ""
        yield from _verdict("cosine", self.groups, "z.2f")
        if self.gains is not None:
            yield from self._gained(self.gains)

    def _patches(self) -> Table:
        found = self.similarity
        others = found.cosine.clone().fill_diagonal_(-torch.inf).nan_to_num(-torch.inf)
        best, places = others.max(1)
        rows = [
            (
                str(number + 1), one.name, one.group, float(found.total_norms[number]),
                float(found.total_relative_norms[number]),
                *((self._names[place], value) if math.isfinite(value) else (None, None)),
            )
            for number, (one, place, value) in enumerate(
                zip(found.signatures, places.tolist(), best.tolist(), strict=True)
            )
        ]  # fmt: skip
        columns = (
            Column("", left=True),
            Column("patch", left=True),
            Column("group", left=True, spare=1),
            Column("‖Δ‖", form=".3g"),
            Column("‖Δ‖/‖θ‖", form=".3f"),
            Column("nearest", left=True),
            Column("cosine", form="z.2f"),
        )
        return Table(columns, rows, "Patches, and the most alike of the others")

    def _layers(self) -> Table:
        layers = self.similarity.layers
        names = dict(zip(layers, short_names(layers), strict=True))
        columns = (
            Column("layer", lambda row: names[row.name], left=True),
            Column("‖Δ‖", "norm", ".3g"),
            Column("‖Δ‖/‖θ‖", "relative_norm", ".3f"),
            Column("share of\n‖Δ‖²", "energy", ".0%", spare=1),
            Column("cosine", "cosine", "z.2f"),
            Column("within\ngroups", lambda row: row.groups and row.groups.within, "z.2f"),
            Column("between\ngroups", lambda row: row.groups and row.groups.between, "z.2f"),
            Column("p", lambda row: row.groups and row.groups.p_value, ".2g"),
        )
        return Table(columns, self.layers, "Layers, means over the patches and their pairs")

    def _gained(self, gains: Gains) -> Iterator[str]:
        options = gains.options
        yield ""
        yield (
            f"Accuracy gained in points, severity {options.severity:g}, {gains.images:,} images of "
            f"{gains.dataset}"
        )
        if len(options.corruptions) < _WIDEST:
            heads = [str(number) for number in range(1, len(options.corruptions) + 1)]
            table = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
            yield from matrix_lines(table, self._names, [*heads, "TA"])
            if tuple(one.corruption for one in gains.signatures) != options.corruptions:
                columns = zip(heads, options.corruptions, strict=True)
                yield "Columns: " + ", ".join(f"{number} {name}" for number, name in columns)
            yield "TA: what the patch costs on clean images"
        corrupted = float(gains.clean_ra.mean())
        yield f"Clean model: {gains.clean_ta:.1f} % on clean images, {corrupted:.1f} % corrupted"
        if "frost" in options.corruptions:
            yield f"Frost: {frost_source(options.frost_overlays)}"
        yield ""
        yield from _verdict("gain", self.gain_groups, "z.1f")
        if self.gain_correlation is not None:
            yield (
                "Correlation of the cosine of two patches with what one gains on the other's "
                f"corruption: {self.gain_correlation:z.2f}"
            )

    def pictures(self) -> Mapping[str, bytes]:
        """Heat maps: `norms`, `cosine`, `layers` and, where gains were measured, `gains`."""
        drawn = {
            "norms": self._draw_norms(),
            "cosine": self._draw_cosine(),
            "layers": self._draw_layers(),
        }
        return drawn if self.gains is None else {**drawn, "gains": self._draw_gains(self.gains)}

    @property
    def _names(self) -> list[str]:
        return [one.name for one in self.similarity.signatures]

    @property
    def _groups(self) -> list[str]:
        return [one.group for one in self.similarity.signatures]

    def _draw_norms(self) -> bytes:
        found = self.similarity
        names, groups = self._names, self._groups
        layers = short_names(found.layers)
        width = max(2.6, 0.5 * len(layers))
        figure = new_figure(2.4 + 2 * width, 1.8 + _CELL * len(names))
        left, right = figure.subplots(1, 2)
        blank = [""] * len(names)
        relative = "relative to the clean layer, ‖Δ‖₂ / ‖θ‖₂"
        for axes, values, title, labels in (
            (left, found.norms, "norm of each patch, ‖Δ‖₂", names),
            (right, found.relative_norms, relative, blank),
        ):
            top = float(values.nan_to_num(0.0).max()) or 1.0
            drawn = draw_heat_map(axes, values, labels, layers, _UNSIGNED, (0.0, top), form=".2f")
            mark_groups(axes, groups, ())
            axes.set_title(title, fontsize=9)
            figure.colorbar(drawn, ax=axes, shrink=0.6)
        return png_bytes(figure)

    def _draw_cosine(self) -> bytes:
        names, groups = self._names, self._groups
        figure = new_figure(3.4 + _CELL * len(names), 2.4 + _CELL * len(names))
        axes = figure.add_subplot()
        values = 100 * self.similarity.cosine
        drawn = draw_heat_map(axes, values, names, names, _SIGNED, (-100.0, 100.0), form="z.0f")
        mark_groups(axes, groups, groups)
        axes.set_title("cosine similarity between patches, in hundredths", fontsize=10, pad=18)
        figure.colorbar(drawn, ax=axes, shrink=0.7)
        return png_bytes(figure)

    def _draw_layers(self) -> bytes:
        found = self.similarity
        names, groups = self._names, self._groups
        count, blank = len(found.layers), [""] * len(names)
        lines = rows_of(count, _MAPS_A_ROW)
        columns = ceil(count / lines)
        figure = new_figure(2.4 + 2.6 * columns, 0.6 + 2.9 * lines)
        grid = panels(figure, count, _MAPS_A_ROW)
        shown = zip(grid, short_names(found.layers), found.layer_cosine, strict=True)
        for place, (axes, layer, values) in enumerate(shown):
            labels = blank if place % columns else names
            drawn = draw_heat_map(axes, values, labels, blank, _SIGNED, (-1.0, 1.0), size=6)
            mark_groups(axes, groups, groups, size=6)
            axes.set_title(layer, fontsize=9, pad=14)
        figure.suptitle("cosine similarity between patches, layer by layer", fontsize=10)
        figure.colorbar(drawn, ax=grid, shrink=0.7)
        return png_bytes(figure)

    def _draw_gains(self, gains: Gains) -> bytes:
        names, groups = self._names, self._groups
        columns = [*gains.options.corruptions, "clean images"]
        values = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
        top = max(1.0, float(values.abs().max()))
        figure = new_figure(3.4 + _CELL * len(columns), 2.6 + _CELL * len(names))
        axes = figure.add_subplot()
        drawn = draw_heat_map(axes, values, names, columns, _SIGNED, (-top, top), form="z.0f")
        mark_groups(axes, groups, [*map(group_of, gains.options.corruptions), ""])
        axes.set_ylabel("patch")
        severity = f"severity {gains.options.severity:g}"
        axes.set_title(f"accuracy gained, in points, {severity}", fontsize=10, pad=18)
        figure.colorbar(drawn, ax=axes, shrink=0.7)
        return png_bytes(figure)


def summarize(
    similarity: Similarity,
    gains: Gains | None = None,
    *,
    seed: int = 0,
    relabelings: int = RELABELINGS,
) -> Comparison:
    """Put together what was found, and ask whether the groups appear in it.

    Raises:
        ConfigError: `relabelings`, of each permutation test, is below 1.
    """
    names = [one.corruption for one in similarity.signatures]

    def contrast(values: Tensor, columns: Sequence[str] | None = None) -> GroupContrast | None:
        return contrast_groups(
            values,
            names,
            names if columns is None else columns,
            symmetric=columns is None,
            seed=seed,
            relabelings=relabelings,
        )

    layers = zip(
        similarity.layers,
        similarity.clean_norms.tolist(),
        similarity.norms.mean(0).tolist(),
        similarity.relative_norms.mean(0).tolist(),
        similarity.energy.tolist(),
        similarity.mean_layer_cosine.tolist(),
        similarity.layer_cosine,
        strict=True,
    )
    return Comparison(
        similarity=similarity,
        layers=tuple(
            LayerSummary(
                name=name,
                clean_norm=clean,
                norm=norm,
                relative_norm=_number(relative),
                energy=energy,
                cosine=_number(cosine),
                groups=contrast(cosines),
            )
            for name, clean, norm, relative, energy, cosine, cosines in layers
        ),
        groups=contrast(similarity.cosine),
        gains=gains,
        gain_groups=None if gains is None else contrast(gains.gains, gains.options.corruptions),
        gain_correlation=None if gains is None else _correlation(similarity, gains),
    )


def _correlation(similarity: Similarity, gains: Gains) -> float | None:
    """Between cosine(i, j) and the gain of i on the corruption of j, where the two differ."""
    names = [one.corruption for one in similarity.signatures]
    columns = {name: place for place, name in enumerate(gains.options.corruptions)}
    pairs = [
        [float(similarity.cosine[row, column]), float(gains.gains[row, columns[name]])]
        for row, own in enumerate(names)
        for column, name in enumerate(names)
        if name in columns and own is not None and own != name
    ]
    table = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
    if len(table) < 3 or not table.isfinite().all() or not (table.std(0) > 0).all():
        return None
    return float(table.T.corrcoef()[0, 1])


def _contrast(found: GroupContrast | None) -> dict[str, Any] | None:
    return None if found is None else {**vars(found), "appear": found.appear}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


_LABEL = 16
# The row's number, and two spaces.
_LEFT = _LABEL + 4
_WIDTH = 80


def matrix_lines(
    values: Tensor, rows: Sequence[str], heads: Sequence[str], *, blank_diagonal: bool = False
) -> list[str]:
    """Write a matrix of whole numbers with numbered rows.

    Args:
        values: rounded to whole numbers, from -99 to 999; [R, C]; NaN is shown as a dot.
        rows: what each row is called.
        heads: what stands above each column, at most two characters.
        blank_diagonal: show a dot on the diagonal.

    Returns:
        Lines of 80 characters where that is possible: 4 a column, or 3 where there are more than
        15; a minus or a third digit then takes the place of the space, so that 20 columns fit.
    """
    cell = 4 if _LEFT + 4 * len(heads) <= _WIDTH else 3
    lines = [" " * _LEFT + "".join(f"{head:>{cell}}" for head in heads)]
    for number, (row, label) in enumerate(zip(values.tolist(), rows, strict=True)):
        cells = ""
        for column, value in enumerate(row):
            blank = math.isnan(value) or (blank_diagonal and number == column)
            cells += f"{'.' if blank else round(value):>{cell}}"
        short = label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"
        lines.append(f"{number + 1:>2} {short:<{_LABEL}} {cells}")
    return lines


def _verdict(what: str, found: GroupContrast | None, form: str) -> Iterator[str]:
    """Do the groups appear? In words, and group by group."""
    if found is None:
        yield f"Do the groups appear in the {what}s? It {_NO_GROUPS}."
        return
    answer = "Yes" if found.appear else "Not shown"
    own = "" if found.own is None else f", on its own corruption {found.own:{form}}"
    yield f"Do the groups appear in the {what}s? {answer}: p = {found.p_value:.2g}."
    yield (
        f"Mean {what} within groups {found.within:{form}} ({found.within_pairs} pairs), between "
        f"them {found.between:{form}} ({found.between_pairs}){own}."
    )
    names = [name for name in GROUPS if name in found.by_group]
    yield " " * 10 + "".join(f"{name:>9}" for name in names)
    for name in names:
        row = [found.by_group[name][other] for other in names]
        cells = "".join(f"{'-' if value is None else format(value, form):>9}" for value in row)
        yield f"  {name:<8}{cells}"
