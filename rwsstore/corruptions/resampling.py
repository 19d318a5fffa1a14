"""Bilinear resampling: centre zoom and free coordinates."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.filters import Border, padded

# Values worked on at a time, to stay in the processor's cache.
_BLOCK_VALUES = 1 << 18


def centre_zoom(pixels: Tensor, factor: float, dims: tuple[int, int] = (0, 1)) -> Tensor:
    """Enlarge the centre of float32 images by a factor of at least 1; the size stays.

    The crop of ceil(size / factor) pixels is stretched, corner to corner, to round(crop · factor)
    pixels, whose middle is kept: the benchmark's use of `scipy.ndimage.zoom` of order 1. It is
    fastest on [H, W, ...]: all images are read at the same places, so whole runs of memory are
    copied.

    Args:
        pixels: the images.
        factor: at least 1.
        dims: where their height and width are.

    Returns:
        Same shape and dtype.
    """
    if factor == 1.0:
        return pixels
    for dim in dims:
        first, second, share = _zoom_axis(pixels.shape[dim], factor)
        share = share.view(-1, *[1] * (pixels.ndim - 1 - dim % pixels.ndim))
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
    block = max(1, _BLOCK_VALUES // images[0].numel()) if len(images) else 1
    places = [slice(start, start + block) for start in range(0, max(1, len(images)), block)]
    return torch.cat([_sample(images[at], rows[at], columns[at], border) for at in places])


def _sample(images: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    batch, channels, height, width = images.shape
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top).to(torch.float32), (columns - left).to(torch.float32)
    first_row, last_row, top = _reach(top.to(torch.int32), height, border)
    first_column, last_column, left = _reach(left.to(torch.int32), width, border)
    source = padded(
        images, -first_row, last_row + 1 - height, -first_column, last_column + 1 - width, border
    )
    plane, stride = source[0, 0].numel(), source.shape[-1]
    place = torch.arange(batch, dtype=torch.int32).view(-1, 1, 1) * (channels * plane)
    place = (place + (left - first_column)).add_(top - first_row, alpha=stride).view(-1).long()
    flat, right, down = source.view(-1), right.view(-1), down.view(-1)
    result = torch.empty(batch, channels, *rows.shape[1:])
    for channel in range(channels):
        corners = [flat[channel * plane + step :] for step in (0, 1, stride, stride + 1)]
        above, beside, below, last = (corner.index_select(0, place) for corner in corners)
        upper, lower = _between(above, beside, right), _between(below, last, right)
        result[:, channel] = _between(upper, lower, down).view(rows.shape)
    return result


def _reach(index: Tensor, size: int, border: Border) -> tuple[int, int, Tensor]:
    """The lowest of 0 and the positions, the highest of them and what they are mixed with.

    Positions far outside come back inside first, by whole periods of the border rule.
    """
    lowest, highest = int(index.amin()), int(index.amax())
    if lowest < -2 * size or highest > 3 * size:
        periods = {"reflect": 2 * size, "mirror": max(1, 2 * size - 2)}
        index = index.clamp(-2, size) if border == "nearest" else index.remainder(periods[border])
        lowest, highest = int(index.amin()), int(index.amax())
    return min(lowest, 0), max(highest + 1, size - 1), index


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return second.sub_(first).mul_(share).add_(first)
