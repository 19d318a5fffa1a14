"""Brightness: too much light."""

__all__ = ["brightness"]

import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting


def brightness(images: Tensor, setting: Setting) -> Tensor:
    """Raise the value V of the HSV colour, hue and saturation unchanged.

    With hue and saturation fixed, all channels scale with V, the largest of them, so no conversion
    to HSV is needed. Black has no hue and becomes grey.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (what is added to V,).
    """
    (offset,) = setting.numbers
    value = images.amax(1, keepdim=True)
    raised = (value + offset).clamp_(max=1.0)
    black = value == 0.0
    scaled = images * (raised / torch.where(black, torch.ones_like(value), value))
    return torch.where(black, raised, scaled)
