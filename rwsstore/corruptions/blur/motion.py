"""Motion blur: the camera moves while the shutter is open."""

__all__ = ["motion_blur"]

from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, rounded
from rwsstore.corruptions.ops.streaks import streak_filter
from rwsstore.corruptions.setting import Setting

_WIDEST_ANGLE = 45.0


def motion_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur one-sidedly along a direction drawn from -45 to 45 degrees.

    The benchmark leaves this one to ImageMagick, which rounds to 8 bits; so does this.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (radius in pixels, sigma in pixels).
    """
    radius, sigma = setting.numbers
    chance = setting.keys.uniform(1)[:, 0].double()
    degrees = (2.0 * chance - 1.0) * _WIDEST_ANGLE
    return rounded(streak_filter(floats(images), degrees, int(radius), sigma))
