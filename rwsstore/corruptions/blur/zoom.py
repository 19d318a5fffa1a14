"""Zoom blur: the camera moves towards the scene while the shutter is open."""

__all__ = ["zoom_blur"]

from torch import Tensor

from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.ops.resampling import centre_zoom
from rwsstore.corruptions.setting import Setting


def zoom_blur(images: Tensor, setting: Setting) -> Tensor:
    """Average the image and its centre enlarged by each factor.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (the zoom factors; the first is 1, so the image itself counts twice).
    """
    pixels = floats(images.permute(2, 3, 0, 1).contiguous())
    total = pixels.clone()
    for factor in setting.numbers:
        total.add_(centre_zoom(pixels, factor))
    blurred = truncated(total.div_(len(setting.numbers) + 1))
    return blurred.permute(2, 3, 0, 1).contiguous()
