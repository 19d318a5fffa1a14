"""8-bit levels: where numbers in [0, 1] become the integers 0 to 255 and back."""

__all__ = ["TRUNCATION_GUARD", "from_levels", "rounded", "to_levels", "truncated"]

import torch
from torch import Tensor

TRUNCATION_GUARD = 2.0**-11
"""Levels by which a number may lie under an integer and still count as that integer.

Float32 arithmetic on numbers up to 255 is off by some 1e-5 to 1e-4 levels. Without the guard a
result that is k by the algebra, and k - 0.00001 in float32, would be truncated to k - 1.
"""


def to_levels(images: Tensor) -> Tensor:
    """Nearest levels of numbers in [0, 1]: float32 integers 0 to 255, same shape."""
    return (images.to(torch.float32) * 255.0).round_()


def from_levels(levels: Tensor) -> Tensor:
    """Numbers in [0, 1] of float32 levels, same shape."""
    return levels / 255.0


def truncated(images: Tensor) -> Tensor:
    """Levels as the benchmark stores them: clipped to [0, 1], times 255, the fraction cut off.

    Returns:
        float32 integers 0 to 255, same shape. k/255 comes out as k for every k.
    """
    return images.clamp(0.0, 1.0).mul_(255.0).add_(TRUNCATION_GUARD).floor_()


def rounded(images: Tensor) -> Tensor:
    """Numbers in [0, 1] rounded to the nearest level, halves up: float32, same shape."""
    return images.clamp(0.0, 1.0).mul_(255.0).add_(0.5 + TRUNCATION_GUARD).floor_().div_(255.0)
