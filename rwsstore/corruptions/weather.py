"""Weather: what comes between the camera and the scene; frost itself has a room of its own."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions import filters
from rwsstore.corruptions.frost import crop_overlays, map_side, plasma, synthetic_frost
from rwsstore.corruptions.keys import Setting
from rwsstore.corruptions.resampling import centre_zoom
from rwsstore.corruptions.rows import BLACK, corruption, liquid, whole_at

_STEEPEST, _SHALLOWEST = -135.0, -45.0


@corruption("weather", "snowflakes and a whitened scene", needs_colour=True, between=whole_at(4))
def snow(images: Tensor, setting: Setting) -> Tensor:
    """Draw flakes, smear them along their fall, whiten the scene and add flakes from two sides.

    Numbers: layer mean, layer standard deviation, zoom, threshold, radius and sigma in pixels of
    the motion blur, weight of the image.
    """
    mean, deviation, zoom, threshold, radius, sigma, weight = setting.numbers
    layer = setting.keys.normal(1, *images.shape[-2:], stream=0).mul_(deviation).add_(mean)
    layer = centre_zoom(layer, zoom, dims=(2, 3))
    layer = F.threshold(layer, threshold, 0.0).mul_(255.0)
    chance = setting.keys.uniform(1, stream=1)[:, 0].double()
    degrees = _STEEPEST + (_SHALLOWEST - _STEEPEST) * chance
    smeared = filters.streak_filter(
        filters.floats(filters.truncated(layer)), degrees, int(radius), sigma
    )
    flakes = filters.floats(filters.rounded(smeared))
    scene = filters.floats(images)
    white = torch.maximum(scene, filters.luma(scene).mul_(1.5).add_(127.5))
    scene.mul_(weight).add_(white.mul_(1.0 - weight))
    return filters.truncated(scene.add_(flakes + flakes.flip(-2, -1)))


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
    return filters.truncated(filters.floats(images).mul_(image_weight).add_(ice.mul_(frost_weight)))


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
    brightest = filters.floats(images.amax((1, 2, 3), keepdim=True))
    shrink = brightest / (brightest + 255.0 * amount)
    veil = veil[:, :height, :width].sub(lowest).mul_(255.0 * amount / (highest - lowest))
    return filters.truncated(filters.floats(images).add_(veil[:, None]).mul_(shrink))


@corruption("weather", "too much light", is_random=False, spares="images at full brightness")
def brightness(images: Tensor, setting: Setting) -> Tensor:
    """Raise the value V of the HSV colour, hue and saturation unchanged.

    With hue and saturation fixed, all channels scale with V, the largest of them, so no conversion
    to HSV is needed. Black has no hue and becomes grey.

    Numbers: what is added to V, in units of the full range.
    """
    (offset,) = setting.numbers
    levels = torch.arange(256, dtype=torch.float64)
    raised = (levels + offset * 255.0).clamp_(max=255.0)
    scales = (raised / levels.clamp(min=1.0)).to(torch.float32)
    lifts = torch.zeros(256)
    scales[0], lifts[0] = 0.0, raised[0]
    value = images.amax(1, keepdim=True).to(torch.int32)
    scale, lift = (
        table.index_select(0, value.view(-1)).view(value.shape) for table in (scales, lifts)
    )
    return filters.truncated(filters.floats(images).mul_(scale).add_(lift))


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
    layer = filters.gaussian_filter(layer, sigma)
    layer = F.threshold(layer, threshold, 0.0)
    scene = filters.floats(images)
    if is_mud:
        cover = mud_cover(layer, strength)[:, None]
        return filters.truncated(scene.mul_(1.0 - cover).add_(cover * _colour(_MUD_RGB)))
    return filters.truncated(
        scene.add_(water_cover(layer, strength)[:, None] * _colour(_WATER_RGB))
    )


def _colour(rgb: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1)


def mud_cover(layer: Tensor, sigma: float) -> Tensor:
    """How much of each pixel mud hides, 0 or 0.8 to 1, where the layer is not 0: [B, H, W]."""
    cover = filters.gaussian_filter(layer.sign(), sigma)
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
    levels = (layer * 255.0 + filters.TRUNCATION_GUARD).floor_().remainder_(256.0)
    rims = canny(levels.to(torch.int32), 50, 150)
    distance = filters.correlate(chamfer_distance(rims, _FARTHEST), _BOX, "mirror") / 9.0
    relief = equalized(distance.long())
    relief = filters.correlate(relief, _EMBOSS, "mirror").clamp_(0, 255)
    # The box filter rounds to whole levels; a ninth never lies halfway between two.
    relief = (filters.correlate(relief, _BOX, "mirror") * 2 + 9) // 18
    light = levels * relief.to(torch.float32)
    most = light.amax((1, 2), keepdim=True)
    return light / torch.where(most == 0.0, torch.ones_like(most), most) * gain


_SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
# tan(22.5°) in 15-bit fixed point.
_TANGENT = 13573


def canny(levels: Tensor, low: int, high: int) -> Tensor:
    """Find edges of one pixel's width.

    Args:
        levels: int32 [B, H, W], 0 to 255.
        low: gradient above which a pixel continues an edge.
        high: gradient above which a pixel starts an edge.

    Returns:
        bool [B, H, W]. The gradient is |dx| + |dy| of 3 × 3 Sobel filters.
    """
    dx = filters.correlate(levels, _SOBEL, "nearest")
    dy = filters.correlate(levels, tuple(zip(*_SOBEL, strict=True)), "nearest")
    size = dx.abs() + dy.abs()
    ridge = _is_ridge(dx, dy, size) & (size > low)
    edges = ridge & (size > high)
    while True:
        grown = ridge & (F.max_pool2d(edges.to(torch.float32), 3, stride=1, padding=1) > 0)
        if torch.equal(grown, edges):
            return edges
        edges = grown


def _is_ridge(dx: Tensor, dy: Tensor, size: Tensor) -> Tensor:
    """Where the gradient is a maximum along its own direction, of four."""
    height, width = size.shape[-2:]
    around = F.pad(size, (1, 1, 1, 1))

    def at(row: int, column: int) -> Tensor:
        return around[..., 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    flat, steep = dx.abs() * _TANGENT, dy.abs() << 15
    horizontal = steep < flat
    vertical = steep > flat + (dx.abs() << 16)
    falling = (dx ^ dy) >= 0
    diagonal = torch.where(
        falling,
        (size > at(-1, -1)) & (size > at(1, 1)),
        (size > at(-1, 1)) & (size > at(1, -1)),
    )
    upright = torch.where(vertical, (size > at(-1, 0)) & (size >= at(1, 0)), diagonal)
    return torch.where(horizontal, (size > at(0, -1)) & (size >= at(0, 1)), upright)


# Lengths of a straight step, a diagonal step and a knight's move, as OpenCV has them.
_STRAIGHT, _DIAGONAL, _KNIGHT = 1.0, 1.4, 2.1969


def chamfer_distance(marked: Tensor, limit: int) -> Tensor:
    """Distance in pixels of every pixel to the nearest marked one, at most `limit`.

    The metric grows with the horizontal distance, so in each row above or below only the nearest
    marked pixel counts.

    Args:
        marked: bool [B, H, W].
        limit: the largest distance that is told from farther ones.

    Returns:
        float32 [B, H, W].
    """
    height, width = marked.shape[1:]
    far = limit + 1
    place = torch.arange(width).expand(marked.shape)
    left = torch.where(marked, place, -far).cummax(2).values
    right = torch.where(marked, place, width + far).flip(2).cummin(2).values.flip(2)
    across = torch.minimum(place - left, right - place).clamp_(max=far)
    table = _lengths(limit)
    best = table[0][across]
    for rows in range(1, min(limit, height - 1) + 1):
        length = table[rows][across]
        torch.minimum(best[:, rows:], length[:, :-rows], out=best[:, rows:])
        torch.minimum(best[:, :-rows], length[:, rows:], out=best[:, :-rows])
    return best


@lru_cache(maxsize=8)
def _lengths(limit: int) -> Tensor:
    """Chamfer length of (rows, columns), cut at `limit`: float32 [limit + 1, limit + 2]."""
    rows = torch.arange(limit + 1, dtype=torch.float64)[:, None]
    columns = torch.arange(limit + 2, dtype=torch.float64)
    long, short = torch.maximum(rows, columns), torch.minimum(rows, columns)
    shallow = short * _KNIGHT + (long - 2 * short) * _STRAIGHT
    steep = (long - short) * _KNIGHT + (2 * short - long) * _DIAGONAL
    lengths = torch.where(long >= 2 * short, shallow, steep)
    return lengths.clamp_(max=limit).to(torch.float32)


def equalized(levels: Tensor) -> Tensor:
    """Spread each image's levels evenly over 0 … 255, as OpenCV's equalizeHist does.

    Args:
        levels: int64 [B, H, W], 0 to 255.

    Returns:
        int64 [B, H, W]; an image of one level stays as it is.
    """
    flat = levels.flatten(1)
    counts = torch.zeros(flat.shape[0], 256, dtype=torch.int64)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(1, keepdim=True)
    at_lowest = counts.gather(1, lowest)
    rest = flat.shape[1] - at_lowest
    above = counts.cumsum(1) - at_lowest
    # A tensor over a tensor: torch takes number / tensor as number · (1 / tensor), rounded twice.
    scale = torch.tensor(255.0) / rest.clamp(min=1).to(torch.float32)
    spread = (above.clamp(min=0).to(torch.float32) * scale).round().clamp(0, 255).long()
    table = torch.where(rest == 0, lowest, spread)
    return table.gather(1, flat).view(levels.shape)
