"""Pixelate: too few pixels for the size."""

__all__ = ["pixelate"]

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting

_PRECISION = 22
_EVEN_BYTES = 0x00FF00FF
# Machine words of so many bytes, and the factor that puts a byte into each of them.
_WORDS = {2: ("u2", 0x0101), 4: ("u4", 0x01010101)}


def pixelate(images: Tensor, setting: Setting) -> Tensor:
    """Shrink with a box filter and enlarge again, to the bit as Pillow does it.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (factor by which the sides shrink,).
    """
    (factor,) = setting.numbers
    height, width = images.shape[-2:]
    planes = images.view(-1, height, width)
    small = _shrunk(planes, -1, max(1, int(width * factor)))
    small = _shrunk(small, -2, max(1, int(height * factor)))
    return _enlarged(small, height, width).view(images.shape)


def _shrunk(planes: Tensor, dim: int, size: int) -> Tensor:
    """Shrink one axis of uint8 [N, H, W] and round to whole levels."""
    old = planes.shape[dim]
    if old == size:
        return planes
    if old % size == 0:
        return _averaged(planes, dim, old // size)
    source, counts = _windows(old, size)
    weights = _fixed_point(counts)
    total = planes.index_select(dim, source[0]).to(torch.int32)
    for place, used in zip(source[1:], (counts > n for n in range(1, len(source))), strict=True):
        along = used.to(torch.int32)
        total.add_(planes.index_select(dim, place) * (along[:, None] if dim == -2 else along))
    total.mul_(weights[:, None] if dim == -2 else weights).add_(1 << (_PRECISION - 1))
    return total.bitwise_right_shift_(_PRECISION).to(torch.uint8)


def _averaged(planes: Tensor, dim: int, count: int) -> Tensor:
    """Average neighbours, so many at a time."""
    total = _row_sums(planes, count) if dim == -1 else _column_sums(planes, count)
    if count in _WORDS:  # the weight is a power of two, so this is the same
        return total.add_(count // 2).bitwise_right_shift_(count.bit_length() - 1).to(torch.uint8)
    weight = int((1 << _PRECISION) / count + 0.5)
    total = total.to(torch.int32).mul_(weight).add_(1 << (_PRECISION - 1))
    return total.bitwise_right_shift_(_PRECISION).to(torch.uint8)


def _row_sums(planes: Tensor, count: int) -> Tensor:
    """Sums of so many neighbours in each row; two and four are added within a machine word."""
    if count == 4:
        words = planes.contiguous().view(torch.int32)
        pairs = (words & _EVEN_BYTES) + ((words >> 8) & _EVEN_BYTES)
        return (pairs & 0xFFFF).add_(pairs >> 16)
    if count == 2:
        halves = planes.contiguous().view(torch.int16)
        return (halves & 0xFF).add_((halves >> 8) & 0xFF)
    wide = planes.to(torch.int32)
    return sum((wide[..., start::count] for start in range(1, count)), wide[..., ::count])


def _column_sums(planes: Tensor, count: int) -> Tensor:
    wide = planes.to(torch.int16 if count in _WORDS else torch.int32)
    return sum((wide[:, start::count] for start in range(1, count)), wide[:, ::count])


def _enlarged(planes: Tensor, height: int, width: int) -> Tensor:
    """Enlarge uint8 [N, h, w]: Pillow's box filter then takes the one nearest pixel."""
    times, rest = divmod(width, planes.shape[-1])
    if times in _WORDS and not rest:
        kind, ones = _WORDS[times]
        words = planes.contiguous().numpy().astype(kind) * np.array(ones, dtype=kind)
        planes = torch.from_numpy(words.view(np.uint8))
    else:
        columns, _ = _windows(planes.shape[-1], width)
        planes = planes.index_select(-1, columns[0])
    rows, _ = _windows(planes.shape[-2], height)
    return planes.index_select(-2, rows[0])


def _fixed_point(counts: Tensor) -> Tensor:
    """Equal weights of so many taps in Pillow's fixed point: int32."""
    return ((1 << _PRECISION) / counts.double() + 0.5).to(torch.int32)


@lru_cache(maxsize=256)
def _windows(size: int, wanted: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """For each tap the source positions, and how many taps each output position has.

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
    most = max(map(len, windows))
    taps = [[window[min(tap, len(window) - 1)] for window in windows] for tap in range(most)]
    counts = torch.tensor([len(window) for window in windows])
    return tuple(torch.tensor(tap) for tap in taps), counts
