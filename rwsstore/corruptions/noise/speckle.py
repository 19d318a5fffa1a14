"""Speckle noise: noise in proportion to the brightness."""

__all__ = ["speckle_noise"]

from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def speckle_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise times the value itself: x + x·N(0, sigma).

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (sigma,).
    """
    (sigma,) = setting.numbers
    noise = setting.keys.normal(*images.shape[1:])
    return truncated(noise.mul_(sigma).add_(1.0).mul_(floats(images)))
