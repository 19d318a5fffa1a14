"""Pictures: what all of them share; matplotlib is imported when one is drawn."""

__all__ = ["check_picture", "new_figure", "png_bytes"]

import importlib.util
import io
from pathlib import Path
from typing import Any

from rwsstore.errors import ConfigError, MissingExtraError, MissingFileError

_DOTS_PER_INCH = 150


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
