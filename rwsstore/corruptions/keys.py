"""Per-image random numbers, and what else a corruption is told beside the images.

A key is (seed, corruption, severity, image index). SHA-256 turns the first three, and a mixing
function the index, into the starting point of a SplitMix64 generator for each image. Numbers are
made for a whole batch at once, by integer arithmetic, so an image gets the same ones in whatever
batch, order, thread, process or numpy release it is corrupted. All drawing happens on the CPU.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rwsstore.corruptions.rows import SeverityTable

_Words = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD = 1 << 64


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

    def words(self, count: int, stream: int = 0) -> _Words:
        """Draw random bits, 64 at a time.

        Args:
            count: how many an image.
            stream: a corruption that draws several times numbers its draws, so that they are
                independent of each other.

        Returns:
            little-endian uint64 [B, count].
        """
        base = _base(self.seed, self.name, self.severity)
        starts = np.array([index % _WORD for index in self.indices], dtype=np.uint64)
        _mix(np.add(np.multiply(starts, _GAMMA, out=starts), base[0], out=starts))
        own = np.uint64((int(base[2]) + stream * int(base[3])) % _WORD)
        _mix(np.add(np.bitwise_xor(starts, base[1], out=starts), own, out=starts))
        drawn = starts[:, None] + _steps(count)
        return _mix(drawn).astype("<u8", copy=False)

    def bits16(self, *shape: int, stream: int = 0) -> npt.NDArray[np.uint16]:
        """Draw 16 random bits each: uint16 [B, *shape]."""
        count = int(np.prod(shape, dtype=np.int64))
        words = self.words(-(-count // 4), stream).view("<u2")
        return words[:, :count].reshape(len(self), *shape)

    def uniform(self, *shape: int, stream: int = 0) -> Tensor:
        """Draw uniform numbers in [0, 1), multiples of 2^-24: float32 [B, *shape]."""
        count = int(np.prod(shape, dtype=np.int64))
        words = self.words(-(-count // 2), stream).view("<u4")[:, :count] >> np.uint32(8)
        return torch.from_numpy(words.view(np.int32)).to(torch.float32).mul_(2.0**-24).view(
            len(self), *shape
        )  # fmt: skip

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Draw standard normal numbers, one of 65,536 quantiles each: float32 [B, *shape]."""
        return looked_up(normal_quantiles(), self.bits16(*shape, stream=stream))


def looked_up(table: Tensor, places: npt.NDArray[np.uint16]) -> Tensor:
    """Read a table of 65,536 entries at random places: the places' shape, the table's dtype."""
    index = torch.from_numpy(places).to(torch.int32)
    return table.index_select(0, index.view(-1)).view(index.shape)


@lru_cache(maxsize=1)
def normal_quantiles() -> Tensor:
    """The 65,536 quantiles at (i + 1/2) / 65,536, scaled to a variance of 1: float32.

    The outermost are at ±4.3: one number in 30,000 of an ideal source would lie beyond 4.17.
    """
    upper = np.array([NormalDist().inv_cdf(0.5 + (i + 0.5) / 65536) for i in range(32768)])
    both = np.concatenate([-upper[::-1], upper])
    return torch.from_numpy((both / np.sqrt(np.mean(both**2))).astype(np.float32))


@lru_cache(maxsize=256)
def _base(seed: int, name: str, severity: int) -> _Words:
    digest = hashlib.sha256(f"{seed}:{name}:{severity}:".encode("ascii")).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


@lru_cache(maxsize=32)
def _steps(count: int) -> _Words:
    return np.arange(1, count + 1, dtype=np.uint64) * _GAMMA


def _mix(words: _Words) -> _Words:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014; Stafford's variant 13), in place."""
    shifted = np.empty_like(words)
    for distance, factor in ((30, _FIRST), (27, _SECOND)):
        np.bitwise_xor(words, np.right_shift(words, np.uint64(distance), out=shifted), out=words)
        np.multiply(words, factor, out=words)
    np.bitwise_xor(words, np.right_shift(words, np.uint64(31), out=shifted), out=words)
    return words


@dataclass(frozen=True)
class Setting:
    """The constants and the random numbers for one batch.

    Attributes:
        numbers: the corruption's constants at this severity (severity.json).
        keys: the per-image random numbers.
        table: the table that the constants are from.
        overlays: frost photographs, uint8 [3, H, W] each; empty for synthetic frost.
    """

    numbers: tuple[float, ...]
    keys: ImageKeys
    table: SeverityTable
    overlays: Sequence[Tensor] = ()

    def part(self, start: int, stop: int) -> "Setting":
        """The setting for the images from `start` up to `stop`."""
        return replace(self, keys=self.keys.part(start, stop))
