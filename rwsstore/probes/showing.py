"""A comparison as tables for people, and as heat maps."""

import math
from collections.abc import Iterator, Sequence
from math import ceil

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from rwsstore.corruptions import GROUPS, frost_source
from rwsstore.drawing import draw_heat_map, mark_groups, new_figure, panels, png_bytes, rows_of
from rwsstore.models import short_names
from rwsstore.probes.comparison import Comparison, GroupContrast
from rwsstore.probes.gains import Gains
from rwsstore.probes.similarity import group_of
from rwsstore.tables import Column, Table

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


_WIDEST = 20
_NO_GROUPS = "needs two corruptions of one group and one of another"


def comparison_text(comparison: Comparison) -> RenderableType:
    """Lay a comparison out as tables of at most 80 characters, up to 20 patches.

    More patches than that are listed each with its nearest one, without matrices.
    """
    lines = list(_cosines(comparison))
    if comparison.gains is not None:
        lines += _gains(comparison.gains, comparison)
    said = (Text(line, no_wrap=line.startswith(" ")) for line in lines)
    return Group(_patches(comparison), _layers(comparison), *said)


def _patches(comparison: Comparison) -> Table:
    found = comparison.similarity
    others = found.cosine.clone().fill_diagonal_(-torch.inf).nan_to_num(-torch.inf)
    best, places = others.max(1)
    names = [one.name for one in found.signatures]
    rows = [
        (
            str(number + 1), one.name, one.group, float(found.total_norms[number]),
            float(found.total_relative_norms[number]),
            *((names[place], value) if math.isfinite(value) else (None, None)),
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


def _layers(comparison: Comparison) -> Table:
    names = dict(zip(found := comparison.similarity.layers, short_names(found), strict=True))
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
    return Table(columns, comparison.layers, "Layers, means over the patches and their pairs")


def _cosines(comparison: Comparison) -> Iterator[str]:
    found = comparison.similarity
    names = [one.name for one in found.signatures]
    if len(names) <= _WIDEST:
        yield "Cosine similarity in hundredths"
        heads = [str(number) for number in range(1, len(names) + 1)]
        yield from matrix_lines(100 * found.cosine, names, heads, blank_diagonal=True)
        yield ""
    yield from _verdict("cosine", comparison.groups, "z.2f")


def _gains(gains: Gains, comparison: Comparison) -> Iterator[str]:
    options = gains.options
    yield ""
    yield (
        f"Accuracy gained in points, severity {options.severity:g}, {gains.images:,} images of "
        f"{gains.dataset}"
    )
    if len(options.corruptions) < _WIDEST:
        names = [one.name for one in gains.signatures]
        heads = [str(number) for number in range(1, len(options.corruptions) + 1)]
        table = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
        yield from matrix_lines(table, names, [*heads, "TA"])
        if tuple(one.corruption for one in gains.signatures) != options.corruptions:
            columns = zip(heads, options.corruptions, strict=True)
            yield "Columns: " + ", ".join(f"{number} {name}" for number, name in columns)
        yield "TA: what the patch costs on clean images"
    corrupted = float(gains.clean_ra.mean())
    yield f"Clean model: {gains.clean_ta:.1f} % on clean images, {corrupted:.1f} % corrupted"
    if "frost" in options.corruptions:
        yield f"Frost: {frost_source(options.frost_overlays)}"
    yield ""
    yield from _verdict("gain", comparison.gain_groups, "z.1f")
    if comparison.gain_correlation is not None:
        yield (
            "Correlation of the cosine of two patches with what one gains on the other's "
            f"corruption: {comparison.gain_correlation:z.2f}"
        )


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


_SIGNED, _UNSIGNED = "RdBu", "Blues"
_MAPS_A_ROW = 3
# Cells, in inches; a number of three characters fits.
_CELL = 0.34


def draw_comparison(comparison: Comparison) -> dict[str, bytes]:
    """Draw every matrix of a comparison.

    Returns:
        PNG files by name: `norms`, `cosine`, `layers` (cosines layer by layer) and, where gains
        were measured, `gains`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pictures = {
        "norms": _draw_norms(comparison),
        "cosine": _draw_cosine(comparison),
        "layers": _draw_layers(comparison),
    }
    if comparison.gains is not None:
        pictures["gains"] = _draw_gains(comparison.gains)
    return pictures


def _draw_norms(comparison: Comparison) -> bytes:
    found = comparison.similarity
    names, groups = _names_and_groups(comparison)
    layers = short_names(found.layers)
    width = max(2.6, 0.5 * len(layers))
    figure = new_figure(2.4 + 2 * width, 1.8 + _CELL * len(names))
    left, right = figure.subplots(1, 2)
    for axes, values, title, labels in (
        (left, found.norms, "norm of each patch, ‖Δ‖₂", names),
        (
            right,
            found.relative_norms,
            "relative to the clean layer, ‖Δ‖₂ / ‖θ‖₂",
            [""] * len(names),
        ),
    ):
        top = float(values.nan_to_num(0.0).max()) or 1.0
        drawn = draw_heat_map(axes, values, labels, layers, _UNSIGNED, (0.0, top), form=".2f")
        mark_groups(axes, groups, ())
        axes.set_title(title, fontsize=9)
        figure.colorbar(drawn, ax=axes, shrink=0.6)
    return png_bytes(figure)


def _draw_cosine(comparison: Comparison) -> bytes:
    names, groups = _names_and_groups(comparison)
    figure = new_figure(3.4 + _CELL * len(names), 2.4 + _CELL * len(names))
    axes = figure.add_subplot()
    values = 100 * comparison.similarity.cosine
    drawn = draw_heat_map(axes, values, names, names, _SIGNED, (-100.0, 100.0), form="z.0f")
    mark_groups(axes, groups, groups)
    axes.set_title("cosine similarity between patches, in hundredths", fontsize=10, pad=18)
    figure.colorbar(drawn, ax=axes, shrink=0.7)
    return png_bytes(figure)


def _draw_layers(comparison: Comparison) -> bytes:
    found = comparison.similarity
    names, groups = _names_and_groups(comparison)
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


def _draw_gains(gains: Gains) -> bytes:
    names = [one.name for one in gains.signatures]
    groups = [one.group for one in gains.signatures]
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


def _names_and_groups(comparison: Comparison) -> tuple[list[str], list[str]]:
    signatures = comparison.similarity.signatures
    return [one.name for one in signatures], [one.group for one in signatures]
