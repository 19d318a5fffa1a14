"""Luma: the grey value of a colour."""

__all__ = ["luma"]

from torch import Tensor


def luma(images: Tensor) -> Tensor:
    """Grey values by ITU-R BT.601: [..., 3, H, W] to [..., 1, H, W]; one channel stays itself."""
    if images.shape[-3] == 1:
        return images
    red, green, blue = (images.narrow(-3, channel, 1) for channel in range(3))
    return red * 0.299 + green * 0.587 + blue * 0.114
