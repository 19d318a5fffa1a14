"""Pixelate: too few pixels for the size."""

__all__ = ["pixelate"]

from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import from_levels, to_levels
from rwsstore.corruptions.setting import Setting

_PRECISION = 22


def pixelate(images: Tensor, setting: Setting) -> Tensor:
    """Shrink with a box filter and enlarge again, to the bit as Pillow does it.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (factor by which the sides shrink,).
    """
    (factor,) = setting.numbers
    height, width = images.shape[-2:]
    pixels = to_levels(images).to(torch.int32)
    pixels = _box_resize(pixels, max(1, int(height * factor)), max(1, int(width * factor)))
    return from_levels(_box_resize(pixels, height, width).to(torch.float32))


def _box_resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize int32 [B, C, H, W] in 0 … 255, columns first, each axis rounded to integers."""
    for dim, size in ((-1, width), (-2, height)):
        if pixels.shape[dim] == size:
            continue
        shape = list(pixels.shape)
        shape[dim] = size
        total = torch.full(shape, 1 << (_PRECISION - 1), dtype=torch.int32)
        for source, weight in _box_taps(pixels.shape[dim], size):
            along = weight[:, None] if dim == -2 else weight
            total.add_(pixels.index_select(dim, source).mul_(along))
        pixels = total >> _PRECISION
    return pixels


@lru_cache(maxsize=256)
def _box_taps(size: int, wanted: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """For each tap, the source position and the fixed-point weight of every output position.

    Pillow's box filter averages, with equal weights, the source pixels whose centres lie within
    half an output pixel, and at least half a source pixel, of the output's centre.
    """
    scale = size / wanted
    support = 0.5 * max(scale, 1.0)
    windows = []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        last = min(size, int(centre + support + 0.5))
        # Pillow counts a source pixel in if its distance lies in (-support, support].
        windows.append(
            [i for i in range(first, last) if -support < i + 0.5 - centre <= support] or [first]
        )
    taps = []
    for tap in range(max(map(len, windows))):
        source = [window[tap] if tap < len(window) else window[0] for window in windows]
        weight = [
            int((1 << _PRECISION) / len(window) + 0.5) if tap < len(window) else 0
            for window in windows
        ]
        taps.append((torch.tensor(source), torch.tensor(weight, dtype=torch.int32)))
    return tuple(taps)
