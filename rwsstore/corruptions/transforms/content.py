"""An index for an image of which nothing is known but its pixels."""

__all__ = ["content_indices"]

import hashlib

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import to_levels


def content_indices(images: Tensor) -> list[int]:
    """Hash each image's 8-bit levels and shape to an index.

    Args:
        images: uint8, or floats in [0, 1], [B, C, H, W].

    Returns:
        One integer of 63 bits an image, the same for an image wherever it turns up, and for its
        byte and float versions.
    """
    levels = images if images.dtype == torch.uint8 else to_levels(images.detach()).to(torch.uint8)
    shape = repr(list(levels.shape[1:])).encode("ascii")
    rows = levels.cpu().contiguous().numpy()
    return [_hashed(shape + row.tobytes()) for row in rows]


def _hashed(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1
