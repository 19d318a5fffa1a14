"""Impulse noise: salt and pepper from bit errors."""

__all__ = ["impulse_noise"]

from torch import Tensor

from rwsstore.corruptions.setting import Setting


def impulse_noise(images: Tensor, setting: Setting) -> Tensor:
    """Replace a share of the values, half of it by 0 and half by 1.

    One uniform number decides both whether a value is hit and by what.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (share of values that are replaced,).
    """
    (share,) = setting.numbers
    chance = setting.keys.uniform(*images.shape[1:])
    hit = chance < share
    salt = (chance < share / 2).to(images.dtype)
    return salt.where(hit, images)
