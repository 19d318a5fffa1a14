"""Gaussian noise: what a sensor adds in low light."""

__all__ = ["gaussian_noise"]

from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.keys import looked_up, normal_quantiles
from rwsstore.corruptions.setting import Setting


def gaussian_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise of standard deviation `numbers[0]` to every value.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (sigma in units of the full range,).
    """
    (sigma,) = setting.numbers
    noise = looked_up(_whole_levels(sigma), setting.keys.bits16(*images.shape[1:]))
    return noise.add_(images.to(torch.int16)).clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=16)
def _whole_levels(sigma: float) -> Tensor:
    """The noise cut to whole levels, int16.

    A level is an integer, so cutting the noise is cutting the sum.
    """
    return (normal_quantiles().double() * (255.0 * sigma)).floor_().to(torch.int16)
