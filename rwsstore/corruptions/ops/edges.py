"""Edges by Canny's method, distances to them, and equalised histograms."""

from functools import lru_cache

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


# Lengths of a straight step, a diagonal step and a knight's move, as OpenCV has them.
_STRAIGHT, _DIAGONAL, _KNIGHT = 1.0, 1.4, 2.1969


def chamfer_distance(marked: Tensor, limit: int) -> Tensor:
    """Distance in pixels of every pixel to the nearest marked one, at most `limit`.

    The metric grows with the horizontal distance, so in each row above or below only the nearest
    marked pixel counts.

    Args:
        marked: bool [B, H, W].
        limit: the largest distance that is told from farther ones.

    Returns:
        float32 [B, H, W].
    """
    height = marked.shape[1]
    across = _across(marked, limit + 1)
    table = _lengths(limit)
    best = table[0][across]
    for rows in range(1, min(limit, height - 1) + 1):
        length = table[rows][across]
        torch.minimum(best[:, rows:], length[:, :-rows], out=best[:, rows:])
        torch.minimum(best[:, :-rows], length[:, rows:], out=best[:, :-rows])
    return best


def _across(marked: Tensor, limit: int) -> Tensor:
    """Distance to the nearest marked pixel of the same row, at most `limit`: int64 [B, H, W]."""
    width = marked.shape[2]
    place = torch.arange(width).expand(marked.shape)
    left = torch.where(marked, place, -limit).cummax(2).values
    right = torch.where(marked, place, width + limit).flip(2).cummin(2).values.flip(2)
    return torch.minimum(place - left, right - place).clamp_(max=limit)


@lru_cache(maxsize=8)
def _lengths(limit: int) -> Tensor:
    """Chamfer length of (rows, columns), cut at `limit`: float32 [limit + 1, limit + 2]."""
    rows = torch.arange(limit + 1, dtype=torch.float64)[:, None]
    columns = torch.arange(limit + 2, dtype=torch.float64)
    long, short = torch.maximum(rows, columns), torch.minimum(rows, columns)
    shallow = short * _KNIGHT + (long - 2 * short) * _STRAIGHT
    steep = (long - short) * _KNIGHT + (2 * short - long) * _DIAGONAL
    lengths = torch.where(long >= 2 * short, shallow, steep)
    return lengths.clamp_(max=limit).to(torch.float32)


def equalized(levels: Tensor) -> Tensor:
    """Spread each image's levels evenly over 0 … 255, as OpenCV's equalizeHist does.

    Args:
        levels: int64 [B, H, W], 0 to 255.

    Returns:
        int64 [B, H, W]; an image of one level stays as it is.
    """
    flat = levels.flatten(1)
    counts = torch.zeros(flat.shape[0], 256, dtype=torch.int64)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(1, keepdim=True)
    at_lowest = counts.gather(1, lowest)
    rest = flat.shape[1] - at_lowest
    above = counts.cumsum(1) - at_lowest
    # A tensor over a tensor: torch takes number / tensor as number · (1 / tensor), rounded twice.
    scale = torch.tensor(255.0) / rest.clamp(min=1).to(torch.float32)
    spread = (above.clamp(min=0).to(torch.float32) * scale).round().clamp(0, 255).long()
    table = torch.where(rest == 0, lowest, spread)
    return table.gather(1, flat).view(levels.shape)
