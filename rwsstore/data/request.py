"""What a dataset's source is asked for."""

__all__ = ["SPLITS", "LoadRequest", "Split"]

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rwsstore.progress import SILENT, Reporter

Split = Literal["train", "test"]
"""Which half of a dataset: the one to train on, or the one to report on."""

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class LoadRequest:
    """One call for images.

    Attributes:
        folder: where the files are; the current folder for a source that needs none.
        split: which half.
        size: height and width wanted, in pixels; None keeps the source's own.
        progress: who is told how far decoding is.
    """

    folder: Path
    split: Split
    size: int | None = None
    progress: Reporter = SILENT
