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
        Rows and columns, float64 [B, H, W] each.
    """
    third = min(height, width) // 3
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    before = signs * third + torch.tensor([width // 2, height // 2], dtype=torch.float64)
    after = before + moves
    # An output point is origin + a·first + b·second; its source has the same a and b.
    origin = after[:, 0, :, None, None]
    first = after[:, 1, :, None, None] - origin
    second = after[:, 2, :, None, None] - origin
    x = torch.arange(width, dtype=torch.float64) - origin[:, 0]
    y = torch.arange(height, dtype=torch.float64)[:, None] - origin[:, 1]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    a = (x * second[:, 1] - y * second[:, 0]) / area
    b = (first[:, 0] * y - first[:, 1] * x) / area
    edges = before[1:] - before[0]
    columns = before[0, 0] + a * edges[0, 0] + b * edges[1, 0]
    rows = before[0, 1] + a * edges[0, 1] + b * edges[1, 1]
    return rows.clamp_(-_FAR, _FAR), columns.clamp_(-_FAR, _FAR)
