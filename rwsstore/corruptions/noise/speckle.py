"""Speckle noise: noise in proportion to the brightness."""

__all__ = ["speckle_noise"]

from functools import lru_cache

from torch import Tensor

from rwsstore.corruptions.keys import looked_up, normal_quantiles
from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def speckle_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise times the value itself: x + x·N(0, sigma).

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (sigma,).
    """
    (sigma,) = setting.numbers
    factors = looked_up(_factors(sigma), setting.keys.bits16(*images.shape[1:]))
    return truncated(factors.mul_(floats(images)))


@lru_cache(maxsize=16)
def _factors(sigma: float) -> Tensor:
    """What the value is multiplied by: float32."""
    return normal_quantiles() * sigma + 1.0
