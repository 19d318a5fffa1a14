"""Pictures: what all of them share; matplotlib is imported when one is drawn."""

__all__ = ["check_picture", "draw_heat_map", "new_figure", "number_cells", "png_bytes"]

import importlib.util
import io
from collections.abc import Sequence
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
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("drawing a picture", "plots")


def new_figure(width: float, height: float) -> Any:
    """Make an empty matplotlib figure, in inches, that is laid out when it is saved.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("drawing a picture", "plots") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Any) -> bytes:
    """Encode a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
    return picture.getvalue()


def draw_heat_map(
    axes: Any,
    values: "Tensor",
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    limits: tuple[float, float],
    *,
    size: float = 8,
) -> Any:
    """Draw a matrix as coloured cells.

    Args:
        axes: of matplotlib.
        values: [R, C]; NaN is left blank.
        rows: what each row is called.
        columns: what each column is called.
        colours: name of a matplotlib colour map.
        limits: the values at its two ends.
        size: of the names, in points.

    Returns:
        What matplotlib makes a colour bar of.
    """
    drawn = axes.imshow(values.numpy(), cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.set_xticks(range(len(columns)), columns, fontsize=size, rotation=90)
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


def number_cells(axes: Any, values: "Tensor", form: str, *, dark: float, size: float = 6) -> None:
    """Write each value into its cell, in white where the cell is dark.

    Args:
        axes: of `draw_heat_map`.
        values: [R, C]; NaN is left blank; beyond 40 rows or columns nothing is written.
        form: of a number, as in `format`.
        dark: from so far away from 0 on cells are dark.
        size: of the numbers, in points.
    """
    if max(values.shape) > _NUMBERED:
        return
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            if value == value:  # NaN stays blank
                ink = "white" if abs(value) > dark else "black"
                number = axes.text(
                    column, row, format(value, form), ha="center", va="center", fontsize=size,
                    color=ink,
                )  # fmt: skip
                number.set_in_layout(False)  # hundreds of them would slow it down
