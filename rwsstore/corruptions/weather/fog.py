"""Fog: a drifting veil."""

__all__ = ["fog"]

from torch import Tensor

from rwsstore.corruptions.ops.plasma import map_side, plasma
from rwsstore.corruptions.setting import Setting


def fog(images: Tensor, setting: Setting) -> Tensor:
    """Add a plasma fractal, then scale so that the brightest value stays in range.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (amount of fog, decay of the fractal).
    """
    amount, decay = setting.numbers
    height, width = images.shape[-2:]
    side = map_side(height, width)
    veil = plasma(setting.keys.uniform(side * side - 1), side, decay)
    lowest, highest = veil.amin((1, 2), keepdim=True), veil.amax((1, 2), keepdim=True)
    veil = ((veil - lowest) / (highest - lowest))[:, None, :height, :width]
    brightest = images.amax((1, 2, 3), keepdim=True)
    return (images + veil * amount) * (brightest / (brightest + amount))
