"""Distance to the nearest marked pixel by the 5 × 5 chamfer metric (Borgefors, 1986)."""

__all__ = ["chamfer_distance"]

from functools import lru_cache

import torch
from torch import Tensor

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
