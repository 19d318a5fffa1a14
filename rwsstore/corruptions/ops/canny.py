"""Edges by Canny's method (1986), in the integer arithmetic of OpenCV."""

__all__ = ["canny"]

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions.ops.filters import correlate

_SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
# tan(22.5°) in 15-bit fixed point.
_TANGENT = 13573


def canny(levels: Tensor, low: int, high: int) -> Tensor:
    """Find edges of one pixel's width.

    Args:
        levels: int32 [B, H, W], 0 to 255.
        low: gradient above which a pixel continues an edge.
        high: gradient above which a pixel starts an edge.

    Returns:
        bool [B, H, W]. The gradient is |dx| + |dy| of 3 × 3 Sobel filters.
    """
    dx = correlate(levels, _SOBEL, "nearest")
    dy = correlate(levels, tuple(zip(*_SOBEL, strict=True)), "nearest")
    size = dx.abs() + dy.abs()
    ridge = _is_ridge(dx, dy, size) & (size > low)
    edges = ridge & (size > high)
    while True:
        grown = ridge & (F.max_pool2d(edges.to(torch.float32), 3, stride=1, padding=1) > 0)
        if torch.equal(grown, edges):
            return edges
        edges = grown


def _is_ridge(dx: Tensor, dy: Tensor, size: Tensor) -> Tensor:
    """Where the gradient is a maximum along its own direction, of four."""
    height, width = size.shape[-2:]
    around = F.pad(size, (1, 1, 1, 1))

    def at(row: int, column: int) -> Tensor:
        return around[..., 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    flat, steep = dx.abs() * _TANGENT, dy.abs() << 15
    horizontal = steep < flat
    vertical = steep > flat + (dx.abs() << 16)
    falling = (dx ^ dy) >= 0
    diagonal = torch.where(
        falling,
        (size > at(-1, -1)) & (size > at(1, 1)),
        (size > at(-1, 1)) & (size > at(1, -1)),
    )
    upright = torch.where(vertical, (size > at(-1, 0)) & (size >= at(1, 0)), diagonal)
    return torch.where(horizontal, (size > at(0, -1)) & (size >= at(0, 1)), upright)
