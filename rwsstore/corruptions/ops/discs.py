"""Sums over a disc around every pixel, in exact integer arithmetic."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.filters import padded

_MIDDLE = 128
# That many centred levels, -128 to 127 each, add up within 16 bits.
_MOST_TERMS = 255


@lru_cache(maxsize=64)
def half_widths(radius: float) -> tuple[int, ...]:
    """For each row of a disc, from the top, how far it reaches to either side of the middle."""
    reach = int(radius)
    return tuple(
        int(math.sqrt(radius * radius - row * row) + 1e-9) for row in range(-reach, reach + 1)
    )


def disc_area(radius: float) -> int:
    """Number of pixels in a disc."""
    return sum(2 * half + 1 for half in half_widths(radius))


class Surround:
    """Sums of levels around every pixel; the border is mirrored.

    A sum is made of runs of pixels, each given by its place around the middle. Runs are put
    together from runs of 1, 2, 4 … pixels, each of which takes one addition for the whole batch.
    Shifts go through flat memory, as in `filters.shifted_sum`.
    """

    def __init__(self, images: Tensor, radius: float, margin: int) -> None:
        """Prepare to add up.

        Args:
            images: uint8 [B, C, H, W].
            radius: of the disc in pixels, at least 1.
            margin: how many more pixels to give on every side, outside the image.
        """
        height, width = images.shape[-2:]
        self._halves = half_widths(radius)
        self._side = side = int(radius) + margin
        source = padded(images.view(-1, height, width), side, side, side, side, "mirror")
        self._shape, self._stride = source.shape, source.shape[-1]
        self._margin, self._height, self._width = margin, height, width
        self._flat = source.view(-1).to(torch.int16).sub_(_MIDDLE)
        self._rows = _runs(self._flat, {2 * half + 1 for half in self._halves}, 1)

    def disc(self) -> Tensor:
        """Sums over the disc: float32 [B · C, H + 2·margin, W + 2·margin], integers."""
        reach = len(self._halves) // 2
        runs = [
            (self._rows[2 * half + 1], (row - reach, -half), 2 * half + 1)
            for row, half in enumerate(self._halves)
        ]
        return self._sum(runs, self._margin)

    def rim(self) -> Tensor:
        """Sums over the sides of the square around the disc, as long as the disc's second row.

        Returns:
            float32 [B · C, H, W], integers.
        """
        reach, half = len(self._halves) // 2, self._halves[1]
        length = 2 * half + 1
        columns = _runs(self._flat, {length}, self._stride)[length]
        across = [(self._rows[length], (row, -half), length) for row in (-reach, reach)]
        down = [(columns, (-half, column), length) for column in (-reach, reach)]
        return self._sum(across + down, 0)

    def tips(self) -> Tensor:
        """Sums of the four pixels just outside that square, in the middle of its sides.

        Returns:
            float32 [B · C, H, W], integers; the margin must be at least 1.
        """
        beyond = len(self._halves) // 2 + 1
        places = ((-beyond, 0), (beyond, 0), (0, -beyond), (0, beyond))
        return self._sum([(self._flat, place, 1) for place in places], 0)

    def _sum(self, runs: Sequence[tuple[Tensor, tuple[int, int], int]], margin: int) -> Tensor:
        """Add up runs, each with the place of its first pixel and its length."""
        total = torch.empty(self._shape)
        first = (self._side - margin) * (self._stride + 1)
        length = self._flat.numel() - 2 * first
        result, part, terms, is_new = total.view(-1)[:length], None, 0, True
        for run, (row, column), size in runs:
            piece = run[first + row * self._stride + column :][:length]
            if part is not None and terms + size <= _MOST_TERMS:
                part.add_(piece)
            else:
                if part is not None:
                    result = result.copy_(part) if is_new else result.add_(part.float())
                    is_new = False
                part, terms = piece.clone(), 0
            terms += size
        if part is not None:
            result.copy_(part) if is_new else result.add_(part.float())
        area = sum(size for _, _, size in runs)
        result.add_(float(_MIDDLE * area))
        return total[:, : self._height + 2 * margin, : self._width + 2 * margin]


def _runs(flat: Tensor, lengths: set[int], step: int) -> Mapping[int, Tensor]:
    """For each length, the sums of so many numbers a step apart, starting at every place."""
    doubled = {1: flat}
    while 2 * max(doubled) <= max(lengths):
        size = max(doubled)
        doubled[2 * size] = _joined(doubled[size], doubled[size], size * step)
    runs: dict[int, Tensor] = {}
    total, done = doubled[1], 1
    for length in sorted(lengths):
        # Go on from the run before, or from a power of two, whichever is nearer.
        start = 1 << (length.bit_length() - 1)
        if start > done:
            total, done = doubled[start], start
        while done < length:
            size = 1 << ((length - done).bit_length() - 1)
            total = _joined(total, doubled[size], done * step)
            done += size
        runs[length] = total
    return runs


def _joined(first: Tensor, second: Tensor, distance: int) -> Tensor:
    """Runs that start in `first`, each with the one that starts so far behind it in `second`."""
    second = second[distance:]
    end = min(first.numel(), second.numel())
    return first[:end] + second[:end]
