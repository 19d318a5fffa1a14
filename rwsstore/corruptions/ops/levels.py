"""8-bit levels: where numbers become the integers 0 to 255; and the grey value of a colour."""

import torch
from torch import Tensor

TRUNCATION_GUARD = 2.0**-11
"""Levels by which a number may lie under an integer and still count as that integer.

Float32 arithmetic on numbers up to 255 is off by some 1e-5 to 1e-4 levels. Without the guard a
result that is k by the algebra, and k - 0.00001 in float32, would be truncated to k - 1.
"""


def to_levels(images: Tensor) -> Tensor:
    """Nearest levels of numbers in [0, 1]: uint8, same shape."""
    return (images.to(torch.float32) * 255.0).round_().to(torch.uint8)


def floats(levels: Tensor) -> Tensor:
    """Levels as float32 0 to 255, same shape."""
    return levels.to(torch.float32)


def truncated(numbers: Tensor) -> Tensor:
    """Levels as the benchmark stores them: clipped to 0 … 255, the fraction cut off.

    Args:
        numbers: float32 in units of levels; overwritten.

    Returns:
        uint8, same shape.
    """
    return _cut(numbers.add_(TRUNCATION_GUARD))


def rounded(numbers: Tensor) -> Tensor:
    """Clipped to 0 … 255 and rounded to the nearest level, halves up.

    Args:
        numbers: float32 in units of levels; overwritten.

    Returns:
        uint8, same shape.
    """
    return _cut(numbers.add_(0.5 + TRUNCATION_GUARD))


def _cut(numbers: Tensor) -> Tensor:
    # By way of int16: torch has a fast conversion for each of the two steps, none for both.
    return numbers.clamp_(0.0, 255.0).to(torch.int16).to(torch.uint8)


def luma(images: Tensor) -> Tensor:
    """Grey values by ITU-R BT.601: [..., 3, H, W] to [..., 1, H, W]; one channel stays itself."""
    if images.shape[-3] == 1:
        return images
    red, green, blue = (images.narrow(-3, channel, 1) for channel in range(3))
    return red * 0.299 + green * 0.587 + blue * 0.114
