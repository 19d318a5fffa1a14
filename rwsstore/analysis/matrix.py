"""A matrix of numbers that fits a terminal."""

__all__ = ["matrix_lines"]

import math
from collections.abc import Sequence

from torch import Tensor

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
        shown = [
            "." if (blank_diagonal and number == column) else _whole(value)
            for column, value in enumerate(row)
        ]
        cells = "".join(f"{text:>{cell}}" for text in shown)
        lines.append(f"{number + 1:>2} {_short(label):<{_LABEL}} {cells}")
    return lines


def _whole(value: float) -> str:
    return "." if math.isnan(value) else str(round(value))


def _short(label: str) -> str:
    return label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"
