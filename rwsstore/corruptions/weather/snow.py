"""Snow: falling flakes and a whitened scene."""

__all__ = ["snow"]

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions.ops.colour import luma
from rwsstore.corruptions.ops.levels import floats, rounded, truncated
from rwsstore.corruptions.ops.resampling import centre_zoom
from rwsstore.corruptions.ops.streaks import streak_filter
from rwsstore.corruptions.setting import Setting

_STEEPEST, _SHALLOWEST = -135.0, -45.0


def snow(images: Tensor, setting: Setting) -> Tensor:
    """Draw flakes, smear them along their fall, whiten the scene and add flakes from two sides.

    Args:
        images: uint8 [B, 3, H, W].
        setting: numbers (layer mean, layer standard deviation, zoom, threshold, radius and sigma
            in pixels of the motion blur, weight of the image).
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
