"""Speckle noise: noise in proportion to the brightness."""

__all__ = ["speckle_noise"]

from torch import Tensor

from rwsstore.corruptions.setting import Setting


def speckle_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise times the value itself: x + x·N(0, sigma).

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (sigma,).
    """
    (sigma,) = setting.numbers
    return setting.keys.normal(*images.shape[1:]).mul_(sigma).mul_(images).add_(images)
