"""One-sided blur along a direction of each image's own, as ImageMagick's motion blur does it."""

__all__ = ["streak_filter"]

import math

import torch
from torch import Tensor

from rwsstore.corruptions.ops.borders import padded

# A tap of less than this share moves no 8-bit result.
_NEGLIGIBLE = 1e-7


def streak_filter(images: Tensor, degrees: Tensor, radius: int, sigma: float) -> Tensor:
    """Average pixels along a ray, with weights of half a Gaussian; the border is repeated.

    Args:
        images: float32 [B, C, H, W].
        degrees: float64 [B], the direction of the ray from the pixel on: 0 is to the right,
            90 is down.
        radius: the ray has 2 · radius + 1 taps, one pixel apart.
        sigma: of the Gaussian, in pixels.

    Returns:
        Same shape and dtype.
    """
    batch, channels, height, width = images.shape
    weights = _ray_weights(radius, sigma)
    rows, columns = _ray_offsets(degrees, len(weights))
    reach = len(weights) - 1
    source = padded(images, reach, reach, reach, reach, "nearest")
    stride = source.shape[-1]
    here = (torch.arange(height)[:, None] + reach) * stride + torch.arange(width) + reach
    source = source.view(batch, channels, -1)
    total = torch.zeros(batch, channels, height * width)
    for tap, weight in enumerate(weights):
        shift = rows[:, tap] * stride + columns[:, tap]
        index = (here.view(1, -1) + shift[:, None])[:, None].expand(-1, channels, -1)
        total.add_(source.gather(2, index).mul_(weight))
    return total.view(images.shape)


def _ray_weights(radius: int, sigma: float) -> list[float]:
    """exp(-i² / 2σ²) for i = 0 … 2·radius, adding up to 1, without the vanishing tail."""
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(2 * radius + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights if weight / total > _NEGLIGIBLE]


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
