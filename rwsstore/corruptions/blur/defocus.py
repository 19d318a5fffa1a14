"""Defocus blur: a lens out of focus spreads a point into a disc."""

__all__ = ["defocus_blur", "disc_kernel"]

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions.ops.discs import Surround, disc_area, half_widths
from rwsstore.corruptions.ops.filters import correlate, gaussian_weights, symmetric_filter
from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting

# A tap of less than this moves no float32 result.
_NEGLIGIBLE = 1e-9
# Weights that differ by this much in all move no result by a third of a level.
_CLOSE = 2e-3
# Values worked on at a time, to stay in the processor's cache.
_BLOCK_VALUES = 1 << 18


def defocus_blur(images: Tensor, setting: Setting) -> Tensor:
    """Correlate with a smoothed disc, the border mirrored.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (disc radius in pixels, sigma in pixels of the disc's smoothing).
    """
    radius, sigma = setting.numbers
    if radius < 1.0:
        smoothing = gaussian_weights(sigma, 1)
        return truncated(symmetric_filter(floats(images), smoothing, "mirror"))
    parts = _parts(radius, sigma)
    if parts is None:
        return truncated(correlate(floats(images), disc_kernel(radius, sigma), "mirror"))
    block = max(1, _BLOCK_VALUES // images[0].numel())
    return torch.cat([_disc_blur(part, radius, parts) for part in torch.split(images, block)])


def _disc_blur(images: Tensor, radius: float, parts: "_Parts") -> Tensor:
    around = Surround(images, radius, 1 if parts.side else 0)
    share = 1.0 / disc_area(radius)
    sums = _smoothed(around.disc(), parts.side, share) if parts.side else around.disc().mul(share)
    if parts.tip:
        sums.add_(around.rim(), alpha=parts.rim).add_(around.tips(), alpha=parts.tip)
    return truncated(sums).view(images.shape)


def _smoothed(sums: Tensor, side: float, share: float) -> Tensor:
    """Filter both axes of [N, H + 2, W + 2] with (side, 1 - 2·side, side): a share of [N, H, W]."""
    middle = 1.0 - 2.0 * side
    down = sums[:, 1:-1].mul(middle).add_(sums[:, :-2] + sums[:, 2:], alpha=side)
    pair = down[..., :-2] + down[..., 2:]
    return down[..., 1:-1].mul(middle * share).add_(pair, alpha=side * share)


@dataclass(frozen=True)
class _Parts:
    """A disc smoothed by three taps, and what the mirrored edge of OpenCV's grid adds to it.

    OpenCV smooths the disc on a grid. Where the disc touches the grid's edge, its mirror image
    beyond the edge is smeared back in: a rim, a straight run of weights on each side. What is
    smeared over the edge is lost: a tip in the middle of each side.
    """

    side: float
    rim: float
    tip: float


@lru_cache(maxsize=32)
def _parts(radius: float, sigma: float) -> _Parts | None:
    """Take the kernel apart; None where the parts do not come close enough to it."""
    exact = torch.tensor(disc_kernel(radius, sigma), dtype=torch.float64)
    margin = 1 if radius <= 8 else 2
    side = gaussian_weights(sigma, margin)[margin - 1]
    side = side if side > 1e-5 else 0.0
    model = _smoothed_disc(radius, side)
    pad = (len(model) - len(exact)) // 2
    rest = F.pad(exact, (pad, pad, pad, pad)) - model
    middle, half = len(rest) // 2, half_widths(radius)[1]
    run = slice(middle - half, middle + half + 1)
    tip = float(rest[0].sum())
    tip = tip if side and abs(tip) > _NEGLIGIBLE else 0.0
    rim = float(rest[1].sum()) / (2 * half + 1) if tip else 0.0
    for inner, outer in ((1, 0), (-2, -1)) if tip else ():
        rest[inner, run] -= rim
        rest[run, inner] -= rim
        rest[outer, middle] -= tip
        rest[middle, outer] -= tip
    return _Parts(side, rim, tip) if float(rest.abs().sum()) < _CLOSE else None


def _smoothed_disc(radius: float, side: float) -> Tensor:
    """A disc of mass 1 after (side, 1 - 2·side, side) both ways: float64, one pixel of margin."""
    middle = int(radius) + 1
    disc = torch.zeros(2 * middle + 1, 2 * middle + 1, dtype=torch.float64)
    for row, half in enumerate(half_widths(radius)):
        disc[row + 1, middle - half : middle + half + 1] = 1.0 / disc_area(radius)
    line = torch.tensor([side, 1.0 - 2.0 * side, side], dtype=torch.float64)
    return F.conv2d(disc[None, None], (line[:, None] * line)[None, None], padding=1)[0, 0]


@lru_cache(maxsize=32)
def disc_kernel(radius: float, sigma: float) -> tuple[tuple[float, ...], ...]:
    """A disc of mass 1, smoothed by a 3 × 3 Gaussian (5 × 5 for a radius above 8).

    A radius below 1 leaves one pixel, so the kernel is the small Gaussian itself.

    Args:
        radius: in pixels.
        sigma: of the smoothing, in pixels.

    Returns:
        A square of weights of odd side, without its empty margin.
    """
    reach, margin = (8, 1) if radius <= 8 else (int(radius), 2)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    disc = (place[:, None] ** 2 + place[None, :] ** 2 <= radius**2).to(torch.float64)
    weights = gaussian_weights(sigma, margin)
    smoothed = correlate(disc / disc.sum(), [[weight] for weight in weights], "mirror")
    smoothed = correlate(smoothed, [list(weights)], "mirror")
    smoothed[smoothed < _NEGLIGIBLE] = 0.0
    used = int(smoothed.amax(dim=0).nonzero().min())
    return tuple(
        map(tuple, smoothed[used : smoothed.shape[0] - used, used : -used or None].tolist())
    )
