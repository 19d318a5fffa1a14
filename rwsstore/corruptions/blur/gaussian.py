"""Gaussian blur."""

__all__ = ["gaussian_blur"]

from torch import Tensor

from rwsstore.corruptions.ops.filters import gaussian_filter
from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def gaussian_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur with an isotropic Gaussian, border repeated, cut at four standard deviations.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (sigma in pixels,).
    """
    (sigma,) = setting.numbers
    return truncated(gaussian_filter(floats(images), sigma))
