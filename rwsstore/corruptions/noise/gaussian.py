"""Gaussian noise: what a sensor adds in low light."""

__all__ = ["gaussian_noise"]

from torch import Tensor

from rwsstore.corruptions.setting import Setting


def gaussian_noise(images: Tensor, setting: Setting) -> Tensor:
    """Add normal noise of standard deviation `numbers[0]` to every value.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (sigma in units of the full range,).
    """
    (sigma,) = setting.numbers
    return setting.keys.normal(*images.shape[1:]).mul_(sigma).add_(images)
