"""Spatter: rain or mud on the lens."""

__all__ = ["mud_cover", "spatter", "water_cover"]

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions.ops.canny import canny
from rwsstore.corruptions.ops.distance import chamfer_distance
from rwsstore.corruptions.ops.filters import correlate, gaussian_filter
from rwsstore.corruptions.ops.histogram import equalized
from rwsstore.corruptions.ops.levels import TRUNCATION_GUARD, floats, truncated
from rwsstore.corruptions.setting import Setting

_WATER_RGB = (175.0, 238.0, 238.0)
_MUD_RGB = (63.0, 42.0, 20.0)
_EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
_BOX = ((1, 1, 1), (1, 1, 1), (1, 1, 1))
_FARTHEST = 20
_THINNEST_MUD = 0.8


def spatter(images: Tensor, setting: Setting) -> Tensor:
    """Draw a layer of liquid and add it as water or cover the image with it as mud.

    Args:
        images: uint8 [B, 3, H, W].
        setting: numbers (layer mean, layer standard deviation, sigma in pixels of its blur,
            threshold, water's gain or sigma in pixels of the mud's edge, 0 for water and 1 for
            mud).
    """
    mean, deviation, sigma, threshold, strength, is_mud = setting.numbers
    layer = setting.keys.normal(*images.shape[-2:]).mul_(deviation).add_(mean)
    layer = gaussian_filter(layer, sigma)
    layer = F.threshold(layer, threshold, 0.0)
    scene = floats(images)
    if is_mud:
        cover = mud_cover(layer, strength)[:, None]
        return truncated(scene.mul_(1.0 - cover).add_(cover * _colour(_MUD_RGB)))
    return truncated(scene.add_(water_cover(layer, strength)[:, None] * _colour(_WATER_RGB)))


def _colour(rgb: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1)


def mud_cover(layer: Tensor, sigma: float) -> Tensor:
    """How much of each pixel mud hides, 0 or 0.8 to 1, where the layer is not 0: [B, H, W]."""
    cover = gaussian_filter(layer.sign(), sigma)
    return F.threshold(cover, _THINNEST_MUD, 0.0)


def water_cover(layer: Tensor, gain: float) -> Tensor:
    """How much light water adds to each pixel, from 0 to `gain` in every image that has some.

    Drops are lit along their rims: the distance to the layer's edges, equalised and embossed.
    Where the layer is empty nothing is added; the released code divides by zero there.

    Args:
        layer: float32 [B, H, W], the liquid, 0 where there is none.
        gain: of the brightest pixel.

    Returns:
        float32 [B, H, W].
    """
    # The released code casts to 8 bits without clipping: above 255 it starts again from 0.
    liquid = (layer * 255.0 + TRUNCATION_GUARD).floor_().remainder_(256.0)
    rims = canny(liquid.to(torch.int32), 50, 150)
    distance = correlate(chamfer_distance(rims, _FARTHEST), _BOX, "mirror") / 9.0
    relief = equalized(distance.long())
    relief = correlate(relief, _EMBOSS, "mirror").clamp_(0, 255)
    # The box filter rounds to whole levels; a ninth never lies halfway between two.
    relief = (correlate(relief, _BOX, "mirror") * 2 + 9) // 18
    light = liquid * relief.to(torch.float32)
    most = light.amax((1, 2), keepdim=True)
    return light / torch.where(most == 0.0, torch.ones_like(most), most) * gain
