"""One-sided blur along a direction of each image's own, as ImageMagick's motion blur does it."""

__all__ = ["streak_filter"]

import math
from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.borders import padded

# Levels are integers up to 255. With weights that are multiples of 1/65,536 every product and sum
# is exact in float32, so the order of adding and fused operations make no difference.
_UNIT = 65536

# From this many values an image on, adding whole shifted images beats picking pixels.
_LARGE = 2048


def streak_filter(images: Tensor, degrees: Tensor, radius: int, sigma: float) -> Tensor:
    """Average pixels along a ray, with weights of half a Gaussian; the border is repeated.

    Args:
        images: float32 [B, C, H, W], integers 0 to 255.
        degrees: float64 [B], the direction of the ray from the pixel on: 0 is to the right,
            90 is down.
        radius: the ray has 2 · radius + 1 taps, one pixel apart.
        sigma: of the Gaussian, in pixels.

    Returns:
        Same shape and dtype, exact for the weights rounded to 1/65,536.
    """
    weights = _ray_weights(radius, sigma)
    order = torch.argsort(degrees)
    rows, columns = _ray_offsets(degrees[order].tolist(), len(weights))
    up, down = -min(map(min, rows)), max(map(max, rows))
    left, right = -min(map(min, columns)), max(map(max, columns))
    source = padded(images[order], up, down, left, right, "nearest")
    add = _add_images if images[0].numel() >= _LARGE else _add_pixels
    total = torch.zeros_like(images, memory_format=torch.contiguous_format)
    for tap, weight in enumerate(weights):
        places = [(row[tap] + up, col[tap] + left) for row, col in zip(rows, columns, strict=True)]
        add(total, source, places, weight)
    result = torch.empty_like(total)
    result[order] = total.div_(_UNIT)
    return result


def _add_images(
    total: Tensor, source: Tensor, places: list[tuple[int, int]], weight: float
) -> None:
    """Add a tap, run by run of images that read it at the same place."""
    height, width = total.shape[-2:]
    start = 0
    for stop in range(1, len(places) + 1):
        if stop == len(places) or places[stop] != places[start]:
            row, column = places[start]
            piece = source[start:stop, :, row : row + height, column : column + width]
            total[start:stop].add_(piece, alpha=weight)
            start = stop


def _add_pixels(
    total: Tensor, source: Tensor, places: list[tuple[int, int]], weight: float
) -> None:
    """Add a tap, pixel by pixel of all images at once."""
    batch, channels, height, width = total.shape
    stride = source.shape[-1]
    plane = source.shape[-2] * stride
    first = torch.tensor([row * stride + column for row, column in places], dtype=torch.int32)
    first = first + torch.arange(batch, dtype=torch.int32) * (channels * plane)
    down = torch.arange(height, dtype=torch.int32)[:, None] * stride
    inside = (down + torch.arange(width, dtype=torch.int32)).view(1, 1, -1)
    planes = torch.arange(channels, dtype=torch.int32).view(1, -1, 1) * plane
    index = (first.view(-1, 1, 1) + planes) + inside
    picked = source.view(-1).index_select(0, index.view(-1))
    total.add_(picked.view(total.shape), alpha=weight)


@lru_cache(maxsize=64)
def _ray_weights(radius: int, sigma: float) -> tuple[float, ...]:
    """exp(-i² / 2σ²) for i = 0 … 2·radius, whole numbers that add up to 65,536; no zero tail."""
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(2 * radius + 1)]
    scale = _UNIT / math.fsum(weights)
    whole = [round(weight * scale) for weight in weights]
    whole[0] += _UNIT - sum(whole)
    return tuple(float(weight) for weight in whole if weight > 0)


def _ray_offsets(degrees: list[float], taps: int) -> tuple[list[list[int]], list[list[int]]]:
    """Row and column of each tap from its pixel, a list for each ray, halves rounded down."""
    # math's sine rather than torch's, whose last bit depends on a number's place in a vector.
    radians = [math.radians(degree) for degree in degrees]
    steps = torch.arange(taps, dtype=torch.float64)
    rays = torch.tensor([[math.sin(ray), math.cos(ray)] for ray in radians], dtype=torch.float64)
    places = torch.ceil(rays[:, :, None] * steps - 0.5).long()
    return places[:, 0].tolist(), places[:, 1].tolist()
