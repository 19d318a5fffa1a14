"""What lies outside an image: index maps for the three border rules in use."""

__all__ = ["Border", "fold_index", "padded"]

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
    if top or bottom:
        rows = fold_index(torch.arange(-top, height + bottom), height, border)
        images = images.index_select(-2, rows)
    if left or right:
        columns = fold_index(torch.arange(-left, width + right), width, border)
        images = images.index_select(-1, columns)
    return images.contiguous()
