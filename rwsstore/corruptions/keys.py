"""Per-image random numbers: what is drawn depends on the image's key and on nothing else.

A key is (seed, corruption, severity, image index). Its SHA-256 keys a Philox counter-based
generator, so an image gets the same numbers in whatever batch, order, thread or process it is
corrupted. All drawing happens on the CPU.
"""

__all__ = ["ImageKeys"]

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageKeys:
    """The keys of a batch of images.

    Attributes:
        seed: the caller's seed, any integer.
        name: name of the corruption.
        severity: 1 to 5.
        indices: the image's index in its dataset, one an image.
    """

    seed: int
    name: str
    severity: int
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, start: int, stop: int) -> "ImageKeys":
        """The keys of the images from `start` up to `stop`."""
        return replace(self, indices=self.indices[start:stop])

    def generators(self, stream: int = 0) -> Iterator[np.random.Generator]:
        """Yield a freshly keyed generator for each image, valid until the next one is taken.

        Args:
            stream: a corruption that draws twice names its draws 0 and 1, so that they are
                independent of each other.
        """
        # Setting the state of one Philox takes a tenth of the time of making a new one.
        philox = np.random.Philox(key=0)
        generator = np.random.Generator(philox)
        state = philox.state
        counter = np.array([0, 0, 0, stream], dtype=np.uint64)
        prefix = hashlib.sha256(f"{self.seed}:{self.name}:{self.severity}:".encode("ascii"))
        for index in self.indices:
            digest = prefix.copy()
            digest.update(str(index).encode("ascii"))
            key = np.frombuffer(digest.digest(), dtype="<u8", count=2)
            state["state"] = {"counter": counter, "key": key}
            philox.state = state
            yield generator

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Draw standard normal numbers: float32 [B, *shape]."""
        out = np.empty((len(self), *shape), dtype=np.float32)
        for row, generator in zip(out, self.generators(stream), strict=True):
            generator.standard_normal(out=row, dtype=np.float32)
        return torch.from_numpy(out)

    def uniform(self, *shape: int, stream: int = 0) -> Tensor:
        """Draw uniform numbers in [0, 1): float32 [B, *shape]."""
        out = np.empty((len(self), *shape), dtype=np.float32)
        for row, generator in zip(out, self.generators(stream), strict=True):
            generator.random(out=row, dtype=np.float32)
        return torch.from_numpy(out)

    def integers(self, low: int, high: int, *shape: int, stream: int = 0) -> Tensor:
        """Draw integers from `low` up to `high` - 1, uniformly: int64 [B, *shape]."""
        out: npt.NDArray[np.int64] = np.empty((len(self), *shape), dtype=np.int64)
        for row, generator in zip(out, self.generators(stream), strict=True):
            row[...] = generator.integers(low, high, size=shape)
        return torch.from_numpy(out)
