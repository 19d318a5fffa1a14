"""Contrast: everything closer to the mean."""

__all__ = ["contrast"]

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting

# Sums of levels below this are exact in float32, in whatever order they are taken.
_EXACT_PIXELS = (1 << 24) // 255


def contrast(images: Tensor, setting: Setting) -> Tensor:
    """Move every pixel towards its channel's mean over the image: (x - mean) · factor + mean.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (factor,).
    """
    (factor,) = setting.numbers
    levels = floats(images)
    pixels = images.shape[2] * images.shape[3]
    dtype = torch.float32 if pixels <= _EXACT_PIXELS else torch.float64
    total = levels.sum((2, 3), keepdim=True, dtype=dtype).double()
    shift = (total / pixels * (1.0 - factor)).to(torch.float32)
    return truncated(levels.mul_(factor).add_(shift))
