"""Frost: ice crystals on the lens."""

__all__ = ["frost"]

from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting
from rwsstore.corruptions.weather.frost_overlays import crop_overlays
from rwsstore.corruptions.weather.frost_synthetic import synthetic_frost


def frost(images: Tensor, setting: Setting) -> Tensor:
    """Blend with frost: a crop of a photograph where overlays are given, else synthetic frost.

    Args:
        images: uint8 [B, 3, H, W].
        setting: numbers (weight of the image, weight of the frost), and overlays.
    """
    image_weight, frost_weight = setting.numbers
    height, width = images.shape[-2:]
    ice = (
        crop_overlays(setting.overlays, height, width, setting.table.frost_scale, setting.keys)
        if setting.overlays
        else synthetic_frost(height, width, setting.table.name, setting.keys)
    )
    return truncated(floats(images).mul_(image_weight).add_(ice.mul_(frost_weight)))
