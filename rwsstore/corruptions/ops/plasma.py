"""The plasma fractal by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982)."""

__all__ = ["map_side", "plasma"]

import torch
from torch import Tensor


def map_side(height: int, width: int) -> int:
    """The smallest power of two, and at least 2, that covers an image."""
    return max(2, 1 << (max(height, width) - 1).bit_length())


def plasma(chance: Tensor, side: int, decay: float | Tensor) -> Tensor:
    """Build height maps that wrap around at the edges.

    Every halving of the step fills the middles of squares, then those of diamonds, with the mean
    of their four corners plus a uniform number whose range shrinks by decay² each time.

    Args:
        chance: float32 [B, side² - 1], uniform in [0, 1), in the order in which it is used.
        side: of the map, a power of two.
        decay: larger is smoother; a float, or float64 [B] for one an image.

    Returns:
        float32 [B, side, side]; the first range is -1 … 1 and the corner is 0.
    """
    noise = chance * 2.0 - 1.0
    reach = torch.ones(chance.shape[0], dtype=torch.float64)
    corners = torch.zeros(chance.shape[0], 1, 1)
    used = 0
    while corners.shape[1] < side:
        cells = corners.shape[1]
        wobble = noise[:, used : used + 3 * cells * cells].view(-1, 3, cells, cells)
        corners = _refined(corners, wobble * reach.to(torch.float32)[:, None, None, None])
        used += 3 * cells * cells
        reach = reach / (decay * decay)
    return corners


def _refined(corners: Tensor, wobble: Tensor) -> Tensor:
    """Halve the step: [B, n, n] corners and [B, 3, n, n] random numbers to [B, 2n, 2n]."""
    batch, cells = corners.shape[:2]
    along = corners + corners.roll(-1, 2)
    beside = corners + corners.roll(-1, 1)
    middles = (along + along.roll(-1, 1)).div_(4.0).add_(wobble[:, 0])
    field = torch.empty(batch, cells, 2, cells, 2)
    field[:, :, 0, :, 0] = corners
    field[:, :, 1, :, 1] = middles
    field[:, :, 0, :, 1] = (middles + middles.roll(1, 1)).add_(along).div_(4.0).add_(wobble[:, 1])
    field[:, :, 1, :, 0] = (middles + middles.roll(1, 2)).add_(beside).div_(4.0).add_(wobble[:, 2])
    return field.view(batch, 2 * cells, 2 * cells)
