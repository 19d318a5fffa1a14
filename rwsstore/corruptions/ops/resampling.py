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
        images: float32 [B, C, H, W].
        rows: float [B, H', W'], vertical positions in pixels.
        columns: float [B, H', W'], horizontal positions in pixels.
        border: what lies outside the image.

    Returns:
        float32 [B, C, H', W'].
    """
    height, width = images.shape[-2:]
    top, left = rows.floor(), columns.floor()
    down = (rows - top).to(torch.float32)[:, None]
    right = (columns - left).to(torch.float32)[:, None]
    y0, x0 = top.long(), left.long()
    y1, x1 = fold_index(y0 + 1, height, border), fold_index(x0 + 1, width, border)
    y0, x0 = fold_index(y0, height, border), fold_index(x0, width, border)
    upper = _between(_pick(images, y0, x0), _pick(images, y0, x1), right)
    lower = _between(_pick(images, y1, x0), _pick(images, y1, x1), right)
    return _between(upper, lower, down)


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at integer positions [B, H', W']: [B, C, H', W']."""
    batch, channels, _, width = images.shape
    index = (rows * width + columns).view(batch, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).view(batch, channels, *rows.shape[1:])


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return second.sub_(first).mul_(share).add_(first)
