"""Saturate: colours paler or more vivid than they are."""

__all__ = ["saturate"]

import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting


def saturate(images: Tensor, setting: Setting) -> Tensor:
    """Change the saturation S of the HSV colour to S · factor + offset, cut to [0, 1].

    With hue and value fixed, a channel's distance from the largest one scales with S, so no
    conversion to HSV is needed. A grey pixel has S = 0 and by convention the hue of red: an
    offset tints it red.

    Args:
        images: float32 [B, 3, H, W] in [0, 1].
        setting: numbers (factor, offset).
    """
    factor, offset = setting.numbers
    value = images.amax(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    grey = spread == 0.0
    one = torch.ones_like(value)
    saturation = spread / torch.where(value == 0.0, one, value)
    wanted = (saturation * factor + offset).clamp_(0.0, 1.0)
    distance = (value - images) / torch.where(grey, one, spread)
    red_hue = torch.tensor([0.0, 1.0, 1.0]).view(1, 3, 1, 1)
    distance = torch.where(grey, red_hue, distance)
    return value - distance * (wanted * value)
