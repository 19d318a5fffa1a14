"""Noise: four ways in which a sensor falsifies single values."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.filters import floats, truncated
from rwsstore.corruptions.keys import Setting, looked_up, normal_quantiles
from rwsstore.corruptions.rows import BLACK, corruption


@corruption("noise", "normal noise, as in low light")
def gaussian_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise of standard deviation `numbers[0]` to every value.

    Numbers: sigma in units of the full range.
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


_BITS = 14


@corruption("noise", "Poisson noise of single photons", spares=BLACK)
def shot_noise(images: Tensor, setting: Setting) -> Tensor:
    """Draw every value from a Poisson distribution: Poisson(x · count) / count.

    There are only 256 levels, so a table holds what each becomes at each of 16,384 quantiles.

    Numbers: photons that make a value of 1.
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


@corruption("noise", "salt and pepper from bit errors")
def impulse_noise(images: Tensor, setting: Setting) -> Tensor:
    """Replace a share of the values, half of it by 0 and half by 255.

    One uniform number decides both whether a value is hit and by what.

    Numbers: share of values that are replaced, to 1/65,536.
    """
    (share,) = setting.numbers
    chance = setting.keys.bits16(*images.shape[1:])
    hit = np.less(chance, np.uint32(round(share * 65536))).view(np.uint8)
    salt = np.less(chance, np.uint32(round(share * 32768))).view(np.uint8)
    # A hit makes the mask 0, anything else 255; salt is 255 where it falls.
    kept = np.bitwise_and(images.numpy(), np.subtract(hit, np.uint8(1), out=hit), out=hit)
    return torch.from_numpy(np.bitwise_or(kept, np.negative(salt, out=salt), out=kept))


@corruption("noise", "noise in proportion to brightness", spares=BLACK)
def speckle_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise times the value itself: x + x·N(0, sigma).

    Numbers: sigma.
    """
    (sigma,) = setting.numbers
    factors = looked_up(normal_quantiles() * sigma + 1.0, setting.keys.bits16(*images.shape[1:]))
    return truncated(factors.mul_(floats(images)))
