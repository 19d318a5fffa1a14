"""Zoom blur: the camera moves towards the scene while the shutter is open."""

__all__ = ["zoom_blur"]

from torch import Tensor

from rwsstore.corruptions.ops.resampling import centre_zoom
from rwsstore.corruptions.setting import Setting


def zoom_blur(images: Tensor, setting: Setting) -> Tensor:
    """Average the image and its centre enlarged by each factor.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (the zoom factors; the first is 1, so the image itself counts twice).
    """
    pixels = images.permute(2, 3, 0, 1).contiguous()
    total = pixels.clone()
    for factor in setting.numbers:
        total.add_(centre_zoom(pixels, factor))
    return total.div_(len(setting.numbers) + 1).permute(2, 3, 0, 1).contiguous()
