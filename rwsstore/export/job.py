"""The images to be corrupted, a piece at a time."""

__all__ = ["Job"]

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rwsstore.corruptions import UnchangedWarning, corrupt
from rwsstore.data import ImageSet
from rwsstore.export.options import ExportOptions

_PIECE_BYTES = 16 * 2**20
_MOST_IMAGES = 1024

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        images: clean.
        indices: each image's index in its data set; its random numbers go by it.
        options: which corruptions, and how.
        folder: where to.
        overlays: frost photographs; None for synthetic frost.
        unchanged: counts, for (corruption, severity), the images that came out as they went in.
    """

    images: ImageSet
    indices: Sequence[int]
    options: ExportOptions
    folder: Path
    overlays: Sequence[Tensor] | None = None
    unchanged: Counter[tuple[str, float]] = field(default_factory=Counter)

    @property
    def piece(self) -> int:
        """How many images are worked on at a time, so that memory stays bounded."""
        return max(1, min(_MOST_IMAGES, _PIECE_BYTES // self.images.images[0].numel()))

    def corrupted(self, name: str, severity: float) -> Iterator[tuple[int, Pictures]]:
        """Corrupt all images, piece by piece.

        Yields:
            The position of the piece's first image, and the piece: uint8 [n, H, W, 3].
        """
        for start in range(0, len(self.images), self.piece):
            clean = self.images.images[start : start + self.piece]
            with warnings.catch_warnings():  # they are counted instead
                warnings.simplefilter("ignore", UnchangedWarning)
                made = corrupt(
                    clean,
                    name,
                    severity,
                    seed=self.options.seed,
                    indices=self.indices[start : start + len(clean)],
                    table=self.options.table,
                    frost_overlays=self.overlays,
                )
            same = int((made == clean).flatten(1).all(1).sum())
            if same:
                self.unchanged[name, severity] += same
            yield start, np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy())
