"""The images to be corrupted, a piece at a time."""

__all__ = ["Job"]

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rwsstore.corruptions import corrupt
from rwsstore.data import ImageSet
from rwsstore.export.options import ExportOptions

_PIECE_BYTES = 8 * 2**20
_MOST_IMAGES = 512

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
        workers: threads that corrupt side by side.
        unchanged: counts, for (corruption, severity), the images that came out as they went in.
    """

    images: ImageSet
    indices: Sequence[int]
    options: ExportOptions
    folder: Path
    overlays: Sequence[Tensor] | None = None
    workers: int = 1
    unchanged: Counter[tuple[str, float]] = field(default_factory=Counter)

    @property
    def piece(self) -> int:
        """How many images are worked on at a time, so that memory stays bounded."""
        return max(1, min(_MOST_IMAGES, _PIECE_BYTES // self.images.images[0].numel()))

    def corrupted(self, name: str, severity: float) -> Iterator[tuple[int, Pictures]]:
        """Corrupt all images, piece by piece, a few pieces side by side.

        Yields:
            The position of the piece's first image, and the piece: uint8 [n, H, W, 3].
        """
        starts = iter(range(0, len(self.images), self.piece))
        with ThreadPoolExecutor(self.workers) as pool:

            def begun(start: int) -> tuple[int, Future[tuple[Pictures, int]]]:
                return start, pool.submit(self._piece, name, severity, start)

            # One piece waits for its turn, so that no worker does.
            waiting = deque(map(begun, islice(starts, self.workers + 1)))
            while waiting:
                start, piece = waiting.popleft()
                pictures, same = piece.result()
                waiting.extend(map(begun, islice(starts, 1)))
                if same:
                    self.unchanged[name, severity] += same
                yield start, pictures

    def _piece(self, name: str, severity: float, start: int) -> tuple[Pictures, int]:
        """A corrupted piece, and how many of its images came out as they went in."""
        clean = self.images.images[start : start + self.piece]
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
        return np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy()), same
