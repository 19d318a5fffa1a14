"""Brightness: too much light."""

__all__ = ["brightness"]

from functools import lru_cache

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def brightness(images: Tensor, setting: Setting) -> Tensor:
    """Raise the value V of the HSV colour, hue and saturation unchanged.

    With hue and saturation fixed, all channels scale with V, the largest of them, so no conversion
    to HSV is needed. Black has no hue and becomes grey.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (what is added to V, in units of the full range,).
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
