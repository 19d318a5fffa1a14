"""Bilinear resampling: centre zoom and free coordinates."""

__all__ = ["centre_zoom", "sample"]

import math
from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.borders import Border, fold_index


def centre_zoom(pixels: Tensor, factor: float) -> Tensor:
    """Enlarge the centre of float32 [H, W, ...] by a factor of at least 1; the size stays.

    The crop of ceil(size / factor) pixels is stretched, corner to corner, to round(crop · factor)
    pixels, whose middle is kept: the benchmark's use of `scipy.ndimage.zoom` of order 1. Pixels
    come first because all images are read at the same places: whole runs of memory are copied.
    """
    if factor == 1.0:
        return pixels
    for dim in (0, 1):
        first, second, share = _zoom_axis(pixels.shape[dim], factor)
        share = share.view(-1, *[1] * (pixels.ndim - 1 - dim))
        low, high = pixels.index_select(dim, first), pixels.index_select(dim, second)
        pixels = low.add_(high.sub_(low).mul_(share))
    return pixels


@lru_cache(maxsize=256)
def _zoom_axis(size: int, factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """The two source positions of each pixel on an axis, and the second one's share."""
    crop = math.ceil(size / factor)
    start = (size - crop) // 2
    stretched = round(crop * factor)
    trim = (stretched - size) // 2
    step = (crop - 1) / (stretched - 1) if stretched > 1 else 0.0
    place = torch.arange(trim, trim + size, dtype=torch.float64) * step
    first = place.floor().clamp(0, crop - 1)
    second = (first + 1).clamp(max=crop - 1)
    return first.long() + start, second.long() + start, (place - first).to(torch.float32)


def sample(images: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """Read each image at positions of its own, bilinearly.

    Args:
        images: float32 [B, C, H, W], contiguous.
        rows: float [B, H', W'], vertical positions in pixels.
        columns: float [B, H', W'], horizontal positions in pixels.
        border: what lies outside the image.

    Returns:
        float32 [B, C, H', W'].
    """
    batch, channels, height, width = images.shape
    top, left = rows.floor(), columns.floor()
    down, right = ((rows - top).to(torch.float32), (columns - left).to(torch.float32))
    y0, y1 = _folded_pair(top.to(torch.int32), height, border)
    x0, x1 = _folded_pair(left.to(torch.int32), width, border)
    place = torch.arange(batch, dtype=torch.int32).view(-1, 1, 1) * (channels * height * width)
    y0.mul_(width).add_(place)
    y1.mul_(width).add_(place)
    corners = (y0 + x0, y0 + x1, y1 + x0, y1 + x1)
    result = torch.empty(batch, channels, *rows.shape[1:])
    for channel in range(channels):
        flat = images.view(-1)[channel * height * width :]
        first, second, third, fourth = (_read(flat, corner) for corner in corners)
        upper, lower = _between(first, second, right), _between(third, fourth, right)
        result[:, channel] = _between(upper, lower, down)
    return result


def _folded_pair(index: Tensor, size: int, border: Border) -> tuple[Tensor, Tensor]:
    """Positions and the ones after them, brought inside by a border rule; same shape, int32."""
    lowest, highest = int(index.amin()), int(index.amax())
    table = fold_index(torch.arange(lowest, highest + 2), size, border).to(torch.int32)
    index = index - lowest
    return _read(table, index), _read(table[1:], index)


def _read(flat: Tensor, index: Tensor) -> Tensor:
    return flat.index_select(0, index.view(-1)).view(index.shape)


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return second.sub_(first).mul_(share).add_(first)
