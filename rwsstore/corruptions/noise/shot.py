"""Shot noise: light arrives in photons."""

__all__ = ["photon_levels", "shot_noise"]

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting

_BITS = 14


def shot_noise(images: Tensor, setting: Setting) -> Tensor:
    """Draw every value from a Poisson distribution: Poisson(x · count) / count.

    There are only 256 levels, so a table holds what each becomes at each of 16,384 quantiles.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (photons that make a value of 1,).
    """
    (count,) = setting.numbers
    chance = setting.keys.bits16(*images.shape[1:]) >> np.uint16(16 - _BITS)
    place = images.to(torch.int32).mul_(1 << _BITS)
    place.add_(torch.from_numpy(chance).to(torch.int32))
    return photon_levels(count).index_select(0, place.view(-1)).view(images.shape)


@lru_cache(maxsize=8)
def photon_levels(count: float) -> Tensor:
    """The level that each level becomes at each quantile (i + 1/2) / 16,384: uint8 [256 · 16384].

    Args:
        count: photons that make a value of 1.
    """
    most = int(count + 12.0 * count**0.5 + 40.0)
    photons = np.arange(most)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most)))])
    with np.errstate(divide="ignore"):
        rates = np.log(np.arange(256) / 255.0 * count)
    rates[0] = -1e9  # no light, no photons
    chances = np.exp(photons * rates[:, None] - np.exp(rates)[:, None] - logs)
    # How many of the quantiles lie below each number of photons.
    below = np.clip(np.ceil(np.cumsum(chances, axis=1) * (1 << _BITS) - 0.5), 0, 1 << _BITS)
    below[:, -1] = 1 << _BITS
    levels = np.minimum(photons * 255.0 / count + 1e-9, 255.0).astype(np.uint8)
    runs = np.diff(below.astype(np.int64), prepend=0, axis=1)
    return torch.from_numpy(np.concatenate([np.repeat(levels, run) for run in runs]))
