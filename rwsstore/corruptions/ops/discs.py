"""Sums over a disc around every pixel, in exact integer arithmetic."""

__all__ = ["disc_area", "disc_sums", "half_widths"]

import math
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.borders import padded

_MIDDLE = 128
# That many centred levels, -128 to 127 each, add up within 16 bits.
_MOST_TERMS = 255
# Planes worked on at a time hold about this many values, to stay in the processor's cache.
_BLOCK_VALUES = 1 << 16


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


def disc_sums(images: Tensor, radius: float, margin: int) -> Tensor:
    """Add up the levels in a disc around every pixel; the border is mirrored.

    Each row of the disc is a run of pixels. Runs are put together from runs of 1, 2, 4 … pixels,
    each of which takes one addition for the whole image.

    Args:
        images: uint8 [B, C, H, W].
        radius: of the disc in pixels, at least 1.
        margin: how many more pixels to give on every side, outside the image.

    Returns:
        float32 [B · C, H + 2·margin, W + 2·margin], integers.
    """
    height, width = images.shape[-2:]
    reach = int(radius)
    side = reach + margin
    planes = images.view(-1, height, width)
    out = torch.empty(len(planes), height + 2 * margin, width + 2 * margin)
    block = max(1, _BLOCK_VALUES // ((height + 2 * side) * (width + 2 * side)))
    for start in range(0, len(planes), block):
        source = padded(planes[start : start + block], side, side, side, side, "mirror")
        sums = _flat_sums(source, half_widths(radius))
        out[start : start + block] = sums[:, : out.shape[1], : out.shape[2]]
    return out.add_(float(_MIDDLE * disc_area(radius)))


def _flat_sums(source: Tensor, halves: tuple[int, ...]) -> Tensor:
    """Sums of levels less 128; the disc of [.., y, x] has its middle at y + reach, x + reach."""
    reach, stride = len(halves) // 2, source.shape[-1]
    flat = source.view(-1).to(torch.int16).sub_(_MIDDLE)
    length = flat.numel() - 2 * reach * (stride + 1)
    runs = _runs(flat, {2 * half + 1 for half in halves})
    total = torch.zeros(source.shape)
    result = total.view(-1)[:length]
    part, terms = torch.zeros(length, dtype=torch.int16), 0
    for row, half in enumerate(halves):
        run = 2 * half + 1
        if terms + run > _MOST_TERMS:
            result.add_(part.to(torch.float32))
            part.zero_()
            terms = 0
        first = row * stride + reach - half
        part.add_(runs[run][first : first + length])
        terms += run
    result.add_(part.to(torch.float32))
    return total


def _runs(flat: Tensor, lengths: set[int]) -> Mapping[int, Tensor]:
    """For each length, the sums of so many neighbours, starting at every place."""
    doubled = {1: flat}
    while 2 * max(doubled) <= max(lengths):
        size = max(doubled)
        doubled[2 * size] = doubled[size][:-size] + doubled[size][size:]
    return {length: _run(doubled, length) for length in lengths}


def _run(doubled: Mapping[int, Tensor], length: int) -> Tensor:
    size = 1 << (length.bit_length() - 1)
    end = doubled[1].numel() - length + 1
    total, done = doubled[size][:end], size
    while done < length:
        size = 1 << ((length - done).bit_length() - 1)
        total = total + doubled[size][done : done + end]
        done += size
    return total
