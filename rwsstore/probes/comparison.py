"""Everything that `rws compare` finds, and whether groups of corruptions appear in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, GROUPS, frost_source
from rwsstore.errors import ConfigError
from rwsstore.probes.gains import Gains
from rwsstore.probes.similarity import Similarity
from rwsstore.tables import json_values

RELABELINGS = 9999
"""Random relabelings of a permutation test; the smallest p-value is 1 / (1 + this)."""

_CHUNK_VALUES = 2**21
# Sums of the same numbers in another order differ by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class GroupContrast:
    """Values of pairs within a group against pairs across groups.

    Values of a corruption with itself count as neither.

    Attributes:
        within: mean over pairs of different corruptions of one group.
        between: mean over pairs of different groups.
        own: mean over the pairs of a corruption with itself, a row with itself left out where rows
            are columns; None where there are none.
        within_pairs: how many there are.
        between_pairs: likewise.
        p_value: the share of random relabelings, this one counted among them, of the corruptions
            with groups for which within − between is at least what was found; one-sided.
        relabelings: how many were drawn.
        by_group: mean for each pair of groups, row group first; None where there is no pair.
    """

    within: float
    between: float
    own: float | None
    within_pairs: int
    between_pairs: int
    p_value: float
    relabelings: int
    by_group: Mapping[str, Mapping[str, float | None]]

    @property
    def appear(self) -> bool:
        """Whether values within groups are larger, with a p-value below 0.05."""
        return self.within > self.between and self.p_value < 0.05


def contrast_groups(
    values: Tensor,
    rows: Sequence[str | None],
    columns: Sequence[str | None],
    *,
    symmetric: bool = False,
    seed: int = 0,
    relabelings: int = RELABELINGS,
) -> GroupContrast | None:
    """Compare the values of pairs within groups with those across groups.

    Labels are permuted over the corruptions, not over rows or pairs, so that two rows of one
    corruption stay together (Mantel, 1967, is the same test for distances).

    Args:
        values: one for each row and column, such as cosines; [R, C]; NaN: not known.
        rows: corruption of each row; rows of None are left out.
        columns: corruption of each column, likewise.
        symmetric: each pair stands in `values` twice, and counts once.
        seed: of the relabelings.
        relabelings: how many to draw.

    Returns:
        None where no two different corruptions of one group are there, or none of two groups.

    Raises:
        ConfigError: `relabelings` is below 1.
    """
    if relabelings < 1:
        raise ConfigError(f"relabelings is {relabelings}; expected 1 or more")
    if symmetric:
        values = values.clone().fill_diagonal_(torch.nan)
    used = {*rows, *columns}
    known = [name for name in CORRUPTIONS if name in used]
    places = {name: place for place, name in enumerate(known)}
    kept_rows = [place for place, name in enumerate(rows) if name in places]
    kept_columns = [place for place, name in enumerate(columns) if name in places]
    pairs = _Pairs(
        values.double()[kept_rows][:, kept_columns],
        torch.tensor([places[str(rows[row])] for row in kept_rows], dtype=torch.long),
        torch.tensor([places[str(columns[column])] for column in kept_columns], dtype=torch.long),
    )
    groups = list(GROUPS)
    labels = torch.tensor([groups.index(CORRUPTIONS[name].group) for name in known])
    same = pairs.same(labels[None])[0] if known else torch.zeros(0, 0, dtype=torch.bool)
    inside, outside = pairs.different & same, pairs.different & ~same
    if not inside.any() or not outside.any():
        return None
    generator = torch.Generator().manual_seed(seed)
    copies = 2 if symmetric else 1
    return GroupContrast(
        within=float(pairs.values[inside].mean()),
        between=float(pairs.values[outside].mean()),
        own=float(pairs.values[pairs.own].mean()) if pairs.own.any() else None,
        within_pairs=int(inside.sum()) // copies,
        between_pairs=int(outside.sum()) // copies,
        p_value=pairs.p_value(labels, relabelings, generator),
        relabelings=relabelings,
        by_group=_by_group(pairs, labels),
    )


class _Pairs:
    """Values [R, C] with the place of each row's and each column's corruption."""

    def __init__(self, values: Tensor, rows: Tensor, columns: Tensor) -> None:
        self.values, self.rows, self.columns = values, rows, columns
        known = values.isfinite()
        equal = rows[:, None] == columns[None, :]
        self.different, self.own = known & ~equal, known & equal

    def same(self, labels: Tensor) -> Tensor:
        """Whether row and column are of one group, for each labeling [N, corruptions]."""
        return labels[:, self.rows, None] == labels[:, None, self.columns]

    def p_value(self, labels: Tensor, count: int, generator: torch.Generator) -> float:
        """Share of `count` random labelings, and this one, that set groups apart as much."""
        found = float(self._contrast(labels[None])[0])
        step = max(1, _CHUNK_VALUES // self.values.numel())
        as_large = 0
        for start in range(0, count, step):
            shape = min(step, count - start), len(labels)
            order = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(dim=1)
            drawn = self._contrast(labels[order])
            # What cannot be computed counts against the groups.
            as_large += int((~(drawn < found - _ROUNDING)).sum())
        return (1 + as_large) / (1 + count)

    def _contrast(self, labels: Tensor) -> Tensor:
        """Mean within − mean between, for each labeling; NaN where one has no pair."""
        same = self.same(labels)
        values = self.values.where(self.different, 0.0)
        inside, outside = same & self.different, ~same & self.different
        within = (values * inside).sum((1, 2)) / inside.sum((1, 2))
        return within - (values * outside).sum((1, 2)) / outside.sum((1, 2))


def _by_group(pairs: _Pairs, labels: Tensor) -> dict[str, dict[str, float | None]]:
    groups = {name: place for place, name in enumerate(GROUPS) if (labels == place).any()}
    row_labels, column_labels = labels[pairs.rows], labels[pairs.columns]

    def mean(one: int, other: int) -> float | None:
        chosen = (row_labels == one)[:, None] & (column_labels == other)[None, :] & pairs.different
        return float(pairs.values[chosen].mean()) if chosen.any() else None

    return {
        name: {other: mean(place, column) for other, column in groups.items()}
        for name, place in groups.items()
    }


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
class Comparison:
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
            "groups": _groups(self.groups),
            "layers": [
                {**vars(layer), "groups": _groups(layer.groups), "cosines": cosines}
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
                "groups": _groups(self.gain_groups),
                "correlation_with_cosine": self.gain_correlation,
            }
        values: dict[str, Any] = json_values(document)
        return values


def summarize(
    similarity: Similarity,
    gains: Gains | None = None,
    *,
    seed: int = 0,
    relabelings: int = RELABELINGS,
) -> Comparison:
    """Put together what was found, and ask whether the groups appear in it.

    Args:
        similarity: of the patches.
        gains: of the same patches.
        seed: of the permutation tests.
        relabelings: of each of them.

    Raises:
        ConfigError: `relabelings` is below 1.
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


def _groups(found: GroupContrast | None) -> dict[str, Any] | None:
    return None if found is None else {**vars(found), "appear": found.appear}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
