"""Whether groups of corruptions appear in a matrix of values: a permutation test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, GROUPS
from rwsstore.errors import ConfigError

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
