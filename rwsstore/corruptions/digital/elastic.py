"""Elastic transform: a small affine warp, then a rubber-sheet distortion."""

__all__ = ["affine_sources", "elastic_transform"]

import torch
from torch import Tensor

from rwsstore.corruptions.ops.filters import gaussian_filter
from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.ops.resampling import sample
from rwsstore.corruptions.setting import Setting

# Beyond this many pixels a source position only says "far outside".
_FAR = 1e6


def elastic_transform(images: Tensor, setting: Setting) -> Tensor:
    """Jitter three control points for an affine warp, then displace pixels by smoothed noise.

    Both warps are bilinear. The first mirrors the border, the second reflects it.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (displacement in pixels, sigma in pixels of its smoothing, largest jitter
            in pixels of a control point).
    """
    amplitude, sigma, jitter = setting.numbers
    height, width = images.shape[-2:]
    moves = (setting.keys.uniform(3, 2, stream=0).double() * 2.0 - 1.0) * jitter
    warped = sample(floats(images), *affine_sources(moves, height, width), "mirror")
    if amplitude == 0:
        return truncated(warped)
    fields = setting.keys.uniform(2, height, width, stream=1).mul_(2.0).sub_(1.0)
    fields = gaussian_filter(fields, sigma, truncate=3.0, border="reflect").mul_(amplitude)
    rows = torch.arange(height, dtype=torch.float32)[:, None] + fields[:, 1]
    columns = torch.arange(width, dtype=torch.float32) + fields[:, 0]
    return truncated(sample(warped, rows, columns, "reflect"))


def affine_sources(moves: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where an affine warp, given by what it does to three points, reads each output pixel.

    The points are the image's centre plus (s, s), (s, -s) and (-s, -s) in (column, row), where s
    is a third of the shorter side.

    Args:
        moves: float64 [B, 3, 2], how far (column, row) each point moves.
        height: of the image.
        width: of the image.

    Returns:
        Rows and columns, float32 [B, H, W] each.
    """
    third = min(height, width) // 3
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    before = signs * third + torch.tensor([width // 2, height // 2], dtype=torch.float64)
    after = before + moves
    # An output point is origin + a·first + b·second; its source has the same a and b.
    origin = after[:, 0]
    first, second = after[:, 1] - origin, after[:, 2] - origin
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    edges = before[1:] - before[0]
    sources = []
    for axis in (1, 0):
        per_column = (second[:, 1] * edges[0, axis] - first[:, 1] * edges[1, axis]) / area
        per_row = (first[:, 0] * edges[1, axis] - second[:, 0] * edges[0, axis]) / area
        start = before[0, axis] - per_column * origin[:, 0] - per_row * origin[:, 1]
        along = start[:, None] + per_column[:, None] * torch.arange(width, dtype=torch.float64)
        down = per_row[:, None] * torch.arange(height, dtype=torch.float64)
        sources.append(_inside(down)[:, :, None] + _inside(along)[:, None])
    return sources[0], sources[1]


def _inside(places: Tensor) -> Tensor:
    """Positions that integers can hold, as float32; three points on a line have no warp: 0."""
    return places.nan_to_num(0.0).clamp_(-_FAR, _FAR).to(torch.float32)
