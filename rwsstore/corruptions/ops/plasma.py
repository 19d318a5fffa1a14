"""The plasma fractal by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982)."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_Map = npt.NDArray[np.float32]


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
    # numpy, because its calls cost half of torch's and the first maps are tiny.
    noise = chance.mul(2.0).sub_(1.0).numpy()
    reach = np.broadcast_to(np.asarray(1.0), (chance.shape[0], 1, 1, 1))
    step = np.asarray(decay).reshape(-1, 1, 1, 1) ** 2
    corners = np.zeros((chance.shape[0], 1, 1), dtype=np.float32)
    used = 0
    while corners.shape[1] < side:
        cells = corners.shape[1]
        wobble = noise[:, used : used + 3 * cells * cells].reshape(-1, 3, cells, cells)
        corners = _refined(corners, wobble * reach.astype(np.float32))
        used += 3 * cells * cells
        reach = reach / step
    return torch.from_numpy(corners)


def _refined(corners: _Map, wobble: _Map) -> _Map:
    """Halve the step: [B, n, n] corners and [B, 3, n, n] random numbers to [B, 2n, 2n]."""
    batch, cells = corners.shape[:2]
    field = np.empty((batch, cells, 2, cells, 2), dtype=np.float32)
    along, beside = _pairs(corners, 2, 1), _pairs(corners, 1, 1)
    middles = _quarter(_pairs(along, 1, 1), wobble[:, 0])
    across, down = _pairs(middles, 1, -1), _pairs(middles, 2, -1)
    field[:, :, 0, :, 0] = corners
    field[:, :, 1, :, 1] = middles
    field[:, :, 0, :, 1] = _quarter(np.add(across, along, out=across), wobble[:, 1])
    field[:, :, 1, :, 0] = _quarter(np.add(down, beside, out=down), wobble[:, 2])
    return field.reshape(batch, 2 * cells, 2 * cells)


def _quarter(total: _Map, wobble: _Map) -> _Map:
    np.multiply(total, np.float32(0.25), out=total)
    return np.add(total, wobble, out=total)


def _pairs(field: _Map, axis: int, step: int) -> _Map:
    """Each number plus the one before it (step -1) or after it (1), around the edge."""
    out = np.empty_like(field)
    first, rest, last = slice(0, 1), slice(1, None), slice(-1, None)
    ends = (last, first) if step == 1 else (first, last)
    inner = slice(0, -1) if step == 1 else rest

    def at(part: slice) -> tuple[slice, ...]:
        return (*[slice(None)] * axis, part)

    np.add(field[at(slice(0, -1))], field[at(rest)], out=out[at(inner)])
    np.add(field[at(ends[0])], field[at(ends[1])], out=out[at(ends[0])])
    return out
