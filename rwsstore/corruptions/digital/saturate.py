"""Saturate: colours paler or more vivid than they are."""

__all__ = ["saturate"]

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def saturate(images: Tensor, setting: Setting) -> Tensor:
    """Change the saturation S of the HSV colour to S · factor + offset, cut to [0, 1].

    With hue and value fixed, a channel's distance from the largest one scales with S, so no
    conversion to HSV is needed. A grey pixel has S = 0 and by convention the hue of red: an
    offset tints it red.

    Args:
        images: uint8 [B, 3, H, W].
        setting: numbers (factor, offset).
    """
    factor, offset = setting.numbers
    value = floats(images.amax(1, keepdim=True))
    spread = value - floats(images.amin(1, keepdim=True))
    is_grey = (spread == 0).to(torch.float32)
    # What is divided by is at least 1 level, or divides 0.
    wanted = (spread / value.clamp(min=1.0)).mul_(factor).add_(offset).clamp_(0.0, 1.0)
    wanted.mul_(value)
    scale = wanted / spread.add_(is_grey)
    tint = is_grey.mul_(wanted)
    result = torch.sub(value, floats(images)).neg_().mul_(scale).add_(value)
    result[:, 1:].sub_(tint)
    return truncated(result)
