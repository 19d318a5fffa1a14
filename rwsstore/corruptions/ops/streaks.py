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
    height, width = images.shape[-2:]
    weights = _ray_weights(radius, sigma)
    rows, columns = _ray_offsets(degrees, len(weights))
    up, down = -int(rows.amin()), int(rows.amax())
    left, right = -int(columns.amin()), int(columns.amax())
    source = padded(images.flatten(0, 1), up, down, left, right, "nearest")
    # Every `width` neighbours in memory are a row that can be picked whole.
    stride = source.shape[-1]
    windows = source.as_strided((source.numel() - width + 1, width), (1, 1))
    first = torch.arange(len(source)) * source[0].numel()
    here = (first[:, None] + torch.arange(height) * stride).view(len(images), -1)
    shifts = (rows + up) * stride + (columns + left)
    total = torch.zeros(here.numel(), width)
    for tap, weight in enumerate(weights):
        places = (here + shifts[:, tap, None]).view(-1)
        total.add_(windows.index_select(0, places), alpha=weight)
    return total.div_(_UNIT).view(images.shape)


@lru_cache(maxsize=64)
def _ray_weights(radius: int, sigma: float) -> tuple[float, ...]:
    """exp(-i² / 2σ²) for i = 0 … 2·radius, whole numbers that add up to 65,536; no zero tail."""
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(2 * radius + 1)]
    scale = _UNIT / math.fsum(weights)
    whole = [round(weight * scale) for weight in weights]
    whole[0] += _UNIT - sum(whole)
    return tuple(float(weight) for weight in whole if weight > 0)


def _ray_offsets(degrees: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Row and column of each tap from its pixel: int64 [B, taps] each, halves rounded down."""
    # math's sine rather than torch's, whose last bit depends on a number's place in a vector.
    radians = [math.radians(degree) for degree in degrees.tolist()]
    down = torch.tensor([math.sin(radian) for radian in radians], dtype=torch.float64)
    right = torch.tensor([math.cos(radian) for radian in radians], dtype=torch.float64)
    steps = torch.arange(taps, dtype=torch.float64)
    rows = torch.ceil(down[:, None] * steps - 0.5)
    columns = torch.ceil(right[:, None] * steps - 0.5)
    return rows.long(), columns.long()
