"""Contrast: everything closer to the mean."""

__all__ = ["contrast"]

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import to_levels
from rwsstore.corruptions.setting import Setting


def contrast(images: Tensor, setting: Setting) -> Tensor:
    """Move every pixel towards its channel's mean over the image: (x - mean) · factor + mean.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (factor,).
    """
    (factor,) = setting.numbers
    # Levels are integers, so this sum is exact in whatever order it is taken.
    total = to_levels(images).sum((2, 3), keepdim=True, dtype=torch.float64)
    pixels = images.shape[2] * images.shape[3]
    mean = (total / (255.0 * pixels)).to(torch.float32)
    return (images - mean) * factor + mean
