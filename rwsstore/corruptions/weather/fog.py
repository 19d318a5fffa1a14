"""Fog: a drifting veil."""

__all__ = ["fog"]

from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.ops.plasma import map_side, plasma
from rwsstore.corruptions.setting import Setting


def fog(images: Tensor, setting: Setting) -> Tensor:
    """Add a plasma fractal, then scale so that the brightest value stays in range.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (amount of fog, decay of the fractal).
    """
    amount, decay = setting.numbers
    height, width = images.shape[-2:]
    side = map_side(height, width)
    veil = plasma(setting.keys.uniform(side * side - 1), side, decay)
    lowest, highest = veil.amin((1, 2), keepdim=True), veil.amax((1, 2), keepdim=True)
    brightest = floats(images.amax((1, 2, 3), keepdim=True))
    shrink = brightest / (brightest + 255.0 * amount)
    veil = veil[:, :height, :width].sub(lowest).mul_(255.0 * amount / (highest - lowest))
    return truncated(floats(images).add_(veil[:, None]).mul_(shrink))
