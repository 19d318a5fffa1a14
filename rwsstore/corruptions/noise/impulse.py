"""Impulse noise: salt and pepper from bit errors."""

__all__ = ["impulse_noise"]

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.setting import Setting


def impulse_noise(images: Tensor, setting: Setting) -> Tensor:
    """Replace a share of the values, half of it by 0 and half by 255.

    One uniform number decides both whether a value is hit and by what.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (share of values that are replaced, to 1/65,536).
    """
    (share,) = setting.numbers
    chance = setting.keys.bits16(*images.shape[1:])
    hit = np.less(chance, np.uint32(round(share * 65536))).view(np.uint8)
    salt = np.less(chance, np.uint32(round(share * 32768))).view(np.uint8)
    # A hit makes the mask 0, anything else 255; salt is 255 where it falls.
    kept = np.bitwise_and(images.numpy(), np.subtract(hit, np.uint8(1), out=hit), out=hit)
    return torch.from_numpy(np.bitwise_or(kept, np.negative(salt, out=salt), out=kept))
