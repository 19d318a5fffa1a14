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
    field = torch.zeros(chance.shape[0], side, side)
    noise = chance * 2.0 - 1.0
    reach = torch.ones(chance.shape[0], dtype=torch.float64)
    step, used = side, 0
    while step >= 2:
        half, cells = step // 2, side // step
        wobble = noise[:, used : used + 3 * cells * cells].view(-1, 3, cells, cells)
        wobble = wobble * reach.to(torch.float32)[:, None, None, None]
        corners = field[:, ::step, ::step]
        along = corners + corners.roll(-1, 2)
        beside = corners + corners.roll(-1, 1)
        middles = (along + along.roll(-1, 1)) / 4.0 + wobble[:, 0]
        field[:, half::step, half::step] = middles
        field[:, ::step, half::step] = (middles + middles.roll(1, 1) + along) / 4.0 + wobble[:, 1]
        field[:, half::step, ::step] = (middles + middles.roll(1, 2) + beside) / 4.0 + wobble[:, 2]
        used += 3 * cells * cells
        step, reach = half, reach / (decay * decay)
    return field
