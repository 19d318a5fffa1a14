"""Pictures: what all of them share; matplotlib is imported when one is drawn."""

import importlib.util
import io
from collections.abc import Sequence
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rwsstore.errors import ConfigError, MissingExtraError, MissingFileError

if TYPE_CHECKING:
    from torch import Tensor

_DOTS_PER_INCH = 150
_NUMBERED = 40
"""In a heat map with more rows or columns, numbers would not be read."""


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be drawn or written, before anything is computed.

    Raises:
        ConfigError: its name does not end in .png.
        MissingFileError: its folder does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() != ".png" or path.is_dir():
        raise ConfigError(f"{path}: expected the name of a picture that ends in .png")
    if not path.absolute().parent.is_dir():
        raise MissingFileError(f"{path}: there is no folder {path.absolute().parent}")
    check_drawing()


def check_drawing() -> None:
    """Refuse to draw where nothing can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("drawing a picture", "plots")


def new_figure(width: float, height: float) -> Any:
    """Make an empty matplotlib figure, in inches, that is laid out when it is saved.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    check_drawing()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Any) -> bytes:
    """Encode a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
    return picture.getvalue()


def panels(figure: Any, count: int, most: int, **shared: bool) -> list[Any]:
    """Divide a figure into axes, at most so many side by side; as `rows_of` counts them."""
    rows = rows_of(count, most)
    grid = list(figure.subplots(rows, ceil(count / rows), squeeze=False, **shared).flatten())
    for axes in grid[count:]:
        axes.set_visible(False)
    return grid[:count]


def rows_of(count: int, most: int) -> int:
    """How many rows so many panels take, at most so many in one."""
    return ceil(count / most)


def frame(axes: Any, *, x: str = "", y: str = "", title: str = "", size: float = 8) -> None:
    """Give axes two edges, and labels in one size, in points: smaller ticks, a larger title."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(x, fontsize=size)
    axes.set_ylabel(y, fontsize=size)
    axes.set_title(title, fontsize=size + 1)
    axes.tick_params(labelsize=size - 1)


def draw_heat_map(
    axes: Any,
    values: "Tensor",
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    limits: tuple[float, float],
    *,
    form: str | None = None,
    size: float = 8,
    digits: float = 6,
) -> Any:
    """Draw a matrix as coloured cells, with the value in each, in white where the cell is dark.

    Args:
        axes: of matplotlib.
        values: [R, C]; NaN is left blank.
        rows: what each row is called.
        columns: what each column is called.
        colours: name of a matplotlib colour map, dark where values are far away from 0.
        limits: the values at its two ends.
        form: of a number, as in `format`; None, or beyond 40 rows or columns: none is written.
        size: of the names, in points.
        digits: size of the numbers.

    Returns:
        What matplotlib makes a colour bar of.
    """
    drawn = axes.imshow(values.numpy(), cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.set_xticks(range(len(columns)), columns, fontsize=size, rotation=90)
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if form is None or max(values.shape) > _NUMBERED:
        return drawn
    dark = 0.6 * max(map(abs, limits))
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            if value == value:  # NaN stays blank
                ink = "white" if abs(value) > dark else "black"
                number = axes.text(
                    column, row, format(value, form), ha="center", va="center", fontsize=digits,
                    color=ink,
                )  # fmt: skip
                number.set_in_layout(False)  # hundreds of them would slow it down
    return drawn


def mark_groups(
    axes: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    size: float = 8,
    colour: str = "#222222",
) -> None:
    """Draw lines between groups of neighbours, and the names of those of columns on top.

    Args:
        axes: with a row and a column at each whole number.
        rows: the group of each row; empty for no lines.
        columns: the group of each column, likewise.
        size: of the names, in points.
        colour: of the lines.
    """
    for start in range(1, len(rows)):
        if rows[start] != rows[start - 1]:
            axes.axhline(start - 0.5, color=colour, linewidth=1)
    start = 0
    for name, members in groupby(columns):
        count = len(list(members))
        if start:
            axes.axvline(start - 0.5, color=colour, linewidth=1)
        axes.annotate(
            name, (start + (count - 1) / 2, 1.0), xycoords=("data", "axes fraction"), fontsize=size,
            xytext=(0, 3), textcoords="offset points", ha="center", annotation_clip=False,
        )  # fmt: skip
        start += count
