"""JPEG compression."""

__all__ = ["jpeg_compression"]

import io

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from rwsstore.corruptions.setting import Setting


def jpeg_compression(images: Tensor, setting: Setting) -> Tensor:
    """Encode and decode each image with Pillow.

    Args:
        images: uint8 [B, 3 or 1, H, W].
        setting: numbers (quality, 1 to 95,).
    """
    quality = int(setting.numbers[0])
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    decoded = np.empty_like(pixels)
    for row, image in zip(decoded, pixels, strict=True):
        row[...] = _round_trip(image, quality)
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous()


def _round_trip(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Compress uint8 [H, W, C] and read it back."""
    encoded = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(
        encoded, "JPEG", quality=quality
    )
    with Image.open(encoded) as picture:
        return np.asarray(picture).reshape(image.shape)
