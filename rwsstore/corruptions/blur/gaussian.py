"""Gaussian blur."""

__all__ = ["gaussian_blur"]

from torch import Tensor

from rwsstore.corruptions.ops.filters import gaussian_filter
from rwsstore.corruptions.setting import Setting


def gaussian_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur with an isotropic Gaussian, border repeated, cut at four standard deviations.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (sigma in pixels,).
    """
    (sigma,) = setting.numbers
    return gaussian_filter(images, sigma)
