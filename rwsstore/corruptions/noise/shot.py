"""Shot noise: light arrives in photons."""

__all__ = ["shot_noise"]

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting


def shot_noise(images: Tensor, setting: Setting) -> Tensor:
    """Draw every value from a Poisson distribution: Poisson(x · count) / count.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (photons that make a value of 1,).
    """
    (count,) = setting.numbers
    expected = images.numpy().astype(np.float64) * count
    photons = np.empty(expected.shape, dtype=np.float32)
    for row, rate, generator in zip(photons, expected, setting.keys.generators(), strict=True):
        row[...] = generator.poisson(rate)
    return torch.from_numpy(photons).div_(count)
