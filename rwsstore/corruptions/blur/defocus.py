"""Defocus blur: a lens out of focus spreads a point into a disc."""

__all__ = ["defocus_blur", "disc_kernel"]

from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.filters import correlate, gaussian_weights
from rwsstore.corruptions.setting import Setting

# A tap of less than this moves no float32 result.
_NEGLIGIBLE = 1e-9


def defocus_blur(images: Tensor, setting: Setting) -> Tensor:
    """Correlate with a smoothed disc, the border mirrored.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (disc radius in pixels, sigma in pixels of the disc's smoothing).
    """
    return correlate(images, disc_kernel(*setting.numbers), "mirror")


@lru_cache(maxsize=32)
def disc_kernel(radius: float, sigma: float) -> tuple[tuple[float, ...], ...]:
    """A disc of mass 1, smoothed by a 3 × 3 Gaussian (5 × 5 for a radius above 8).

    A radius below 1 leaves one pixel, so the kernel is the small Gaussian itself.

    Args:
        radius: in pixels.
        sigma: of the smoothing, in pixels.

    Returns:
        A square of weights of odd side, without its empty margin.
    """
    reach, margin = (8, 1) if radius <= 8 else (int(radius), 2)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    disc = (place[:, None] ** 2 + place[None, :] ** 2 <= radius**2).to(torch.float64)
    weights = gaussian_weights(sigma, margin)
    smoothed = correlate(disc / disc.sum(), [[weight] for weight in weights], "mirror")
    smoothed = correlate(smoothed, [list(weights)], "mirror")
    smoothed[smoothed < _NEGLIGIBLE] = 0.0
    used = int(smoothed.amax(dim=0).nonzero().min())
    return tuple(
        map(tuple, smoothed[used : smoothed.shape[0] - used, used : -used or None].tolist())
    )
