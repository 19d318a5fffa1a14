"""What lies outside an image: index maps for the three border rules in use."""

__all__ = ["Border", "fold_index", "padded"]

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Border = Literal["nearest", "reflect", "mirror"]
"""nearest: aa|abc|cc; reflect: ba|abc|cb; mirror: cb|abc|ba (OpenCV's reflect-101)."""


def fold_index(index: Tensor, size: int, border: Border) -> Tensor:
    """Bring integer positions of any size into 0 … size - 1 by a border rule; same shape."""
    if border == "nearest":
        return index.clamp(0, size - 1)
    if border == "reflect":
        inside = index.remainder(2 * size)
        return torch.minimum(inside, 2 * size - 1 - inside)
    if size == 1:
        return torch.zeros_like(index)
    inside = index.remainder(2 * size - 2)
    return torch.minimum(inside, 2 * size - 2 - inside)


def padded(images: Tensor, top: int, bottom: int, left: int, right: int, border: Border) -> Tensor:
    """Extend [..., H, W] by a border rule to a contiguous [..., top+H+bottom, left+W+right]."""
    height, width = images.shape[-2:]
    shape = (*images.shape[:-2], top + height + bottom, left + width + right)
    out = torch.empty(shape, dtype=images.dtype)
    middle = out[..., top : top + height, :]
    middle[..., left : left + width] = images
    for start, count in ((0, left), (left + width, right)):
        if count:
            index = _outside(start - left, count, width, border)
            middle[..., start : start + count] = images.index_select(-1, index)
    for start, count in ((0, top), (top + height, bottom)):
        if count:
            index = _outside(start - top, count, height, border)
            out[..., start : start + count, :] = middle.index_select(-2, index)
    return out


@lru_cache(maxsize=512)
def _outside(start: int, count: int, size: int, border: Border) -> Tensor:
    """Where the positions from `start` on lie inside."""
    return fold_index(torch.arange(start, start + count), size, border)
