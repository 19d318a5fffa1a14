"""Weather: what comes between the camera and the scene; frost itself has a room of its own."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions.frost import crop_overlays, synthetic_frost
from rwsstore.corruptions.keys import Setting
from rwsstore.corruptions.ops.edges import canny, chamfer_distance, equalized
from rwsstore.corruptions.ops.filters import correlate, gaussian_filter, streak_filter
from rwsstore.corruptions.ops.levels import TRUNCATION_GUARD, floats, luma, rounded, truncated
from rwsstore.corruptions.ops.plasma import map_side, plasma
from rwsstore.corruptions.ops.resampling import centre_zoom
from rwsstore.corruptions.rows import BLACK, corruption
from rwsstore.corruptions.severity import liquid, whole_at

_STEEPEST, _SHALLOWEST = -135.0, -45.0


@corruption("weather", "snowflakes and a whitened scene", needs_colour=True, between=whole_at(4))
def snow(images: Tensor, setting: Setting) -> Tensor:
    """Draw flakes, smear them along their fall, whiten the scene and add flakes from two sides.

    Numbers: layer mean, layer standard deviation, zoom, threshold, radius and sigma in pixels of
    the motion blur, weight of the image.
    """
    weight = setting.numbers[6]
    flakes = _flakes(images.shape[-2], images.shape[-1], setting)
    scene = floats(images)
    white = torch.maximum(scene, luma(scene).mul_(1.5).add_(127.5))
    scene.mul_(weight).add_(white.mul_(1.0 - weight))
    return truncated(scene.add_(flakes + flakes.flip(-2, -1)))


def _flakes(height: int, width: int, setting: Setting) -> Tensor:
    """One layer of smeared flakes: float32 [B, 1, H, W], levels."""
    mean, deviation, zoom, threshold, radius, sigma, _ = setting.numbers
    layer = setting.keys.normal(1, height, width, stream=0).mul_(deviation).add_(mean)
    layer = centre_zoom(layer, zoom, dims=(2, 3))
    layer = F.threshold(layer, threshold, 0.0).mul_(255.0)
    chance = setting.keys.uniform(1, stream=1)[:, 0].double()
    degrees = _STEEPEST + (_SHALLOWEST - _STEEPEST) * chance
    smeared = streak_filter(floats(truncated(layer)), degrees, int(radius), sigma)
    return floats(rounded(smeared))


@corruption("weather", "ice crystals on the lens", needs_colour=True)
def frost(images: Tensor, setting: Setting) -> Tensor:
    """Blend with frost: a crop of a photograph where overlays are given, else synthetic frost.

    Numbers: weight of the image, weight of the frost; and overlays.
    """
    image_weight, frost_weight = setting.numbers
    height, width = images.shape[-2:]
    ice = (
        crop_overlays(setting.overlays, height, width, setting.table.frost_scale, setting.keys)
        if setting.overlays
        else synthetic_frost(height, width, setting.table.name, setting.keys)
    )
    return truncated(floats(images).mul_(image_weight).add_(ice.mul_(frost_weight)))


@corruption("weather", "a veil of fog", spares=BLACK)
def fog(images: Tensor, setting: Setting) -> Tensor:
    """Add a plasma fractal, then scale so that the brightest value stays in range.

    Numbers: amount of fog, decay of the fractal.
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


@corruption("weather", "too much light", is_random=False, spares="images at full brightness")
def brightness(images: Tensor, setting: Setting) -> Tensor:
    """Raise the value V of the HSV colour, hue and saturation unchanged.

    With hue and saturation fixed, all channels scale with V, the largest of them, so no conversion
    to HSV is needed. Black has no hue and becomes grey.

    Numbers: what is added to V, in units of the full range.
    """
    (offset,) = setting.numbers
    value = images.amax(1, keepdim=True).to(torch.int32)
    scale, lift = (
        table.index_select(0, value.view(-1)).view(value.shape) for table in _tables(offset)
    )
    return truncated(floats(images).mul_(scale).add_(lift))


@lru_cache(maxsize=16)
def _tables(offset: float) -> tuple[Tensor, Tensor]:
    """For each V, the factor of all channels and what is added to them: float32 [256] each."""
    value = torch.arange(256, dtype=torch.float64)
    raised = (value + offset * 255.0).clamp_(max=255.0)
    scale = raised / value.clamp(min=1.0)
    scale[0] = 0.0
    lift = torch.zeros(256)
    lift[0] = raised[0]
    return scale.to(torch.float32), lift


_WATER_RGB = (175.0, 238.0, 238.0)
_MUD_RGB = (63.0, 42.0, 20.0)
_EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
_BOX = ((1, 1, 1), (1, 1, 1), (1, 1, 1))
_FARTHEST = 20
_THINNEST_MUD = 0.8


@corruption(
    "weather",
    "rain or mud on the lens",
    needs_colour=True,
    between=liquid,
    spares="images that no drop hits",
)
def spatter(images: Tensor, setting: Setting) -> Tensor:
    """Draw a layer of liquid and add it as water or cover the image with it as mud.

    Numbers: layer mean, layer standard deviation, sigma in pixels of its blur, threshold, water's
    gain or sigma in pixels of the mud's edge, 0 for water and 1 for mud.
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
    levels = (layer * 255.0 + TRUNCATION_GUARD).floor_().remainder_(256.0)
    rims = canny(levels.to(torch.int32), 50, 150)
    distance = correlate(chamfer_distance(rims, _FARTHEST), _BOX, "mirror") / 9.0
    relief = equalized(distance.long())
    relief = correlate(relief, _EMBOSS, "mirror").clamp_(0, 255)
    # The box filter rounds to whole levels; a ninth never lies halfway between two.
    relief = (correlate(relief, _BOX, "mirror") * 2 + 9) // 18
    light = levels * relief.to(torch.float32)
    most = light.amax((1, 2), keepdim=True)
    return light / torch.where(most == 0.0, torch.ones_like(most), most) * gain
