"""8-bit levels, and linear filters as shifts and adds, along a direction too.

Each output pixel is a sum taken tap by tap in one fixed order, with every product and sum rounded
on its own. That keeps an image's result independent of its batch and of the number of threads,
which torch's convolutions and matrix products do not promise.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

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


Border = Literal["nearest", "reflect", "mirror"]
"""nearest: aa|abc|cc; reflect: ba|abc|cb; mirror: cb|abc|ba (OpenCV's reflect-101)."""


def fold_index(index: Tensor, size: int, border: Border) -> Tensor:
    """Bring integer positions of any size into 0 … size - 1 by a border rule; same shape."""
    if border == "nearest":
        return index.clamp(0, size - 1)
    if border == "reflect":
        inside = index.remainder(2 * size)
        return torch.minimum(inside, 2 * size - 1 - inside)
    if size == 1:
        return torch.zeros_like(index)
    inside = index.remainder(2 * size - 2)
    return torch.minimum(inside, 2 * size - 2 - inside)


def padded(images: Tensor, top: int, bottom: int, left: int, right: int, border: Border) -> Tensor:
    """Extend [..., H, W] by a border rule to a contiguous [..., top+H+bottom, left+W+right]."""
    height, width = images.shape[-2:]
    shape = (*images.shape[:-2], top + height + bottom, left + width + right)
    out = torch.empty(shape, dtype=images.dtype)
    middle = out[..., top : top + height, :]
    middle[..., left : left + width] = images
    for start, count in ((0, left), (left + width, right)):
        if count:
            index = _outside(start - left, count, width, border)
            middle[..., start : start + count] = images.index_select(-1, index)
    for start, count in ((0, top), (top + height, bottom)):
        if count:
            index = _outside(start - top, count, height, border)
            out[..., start : start + count, :] = middle.index_select(-2, index)
    return out


@lru_cache(maxsize=512)
def _outside(start: int, count: int, size: int, border: Border) -> Tensor:
    """Where the positions from `start` on lie inside."""
    return fold_index(torch.arange(start, start + count), size, border)


# Values worked on at a time, to stay in the processor's cache.
_BLOCK_VALUES = 1 << 17


def correlate(images: Tensor, kernel: Sequence[Sequence[float]], border: Border) -> Tensor:
    """Correlate every channel with a kernel of odd sides; zero taps cost nothing.

    Args:
        images: float or integer [..., H, W].
        kernel: rows of weights, centred.
        border: what lies outside the image.

    Returns:
        Same shape and dtype.
    """
    up, left = len(kernel) // 2, len(kernel[0]) // 2
    height, width = images.shape[-2:]
    source = padded(images, up, up, left, left, border)
    stride = source.shape[-1]
    taps = [
        (i * stride + j, weight)
        for i, row in enumerate(kernel)
        for j, weight in enumerate(row)
        if weight != 0.0
    ]
    return shifted_sum(source, taps)[..., :height, :width].contiguous()


def shifted_sum(source: Tensor, taps: Sequence[tuple[int, float]]) -> Tensor:
    """Add up flat shifts of a contiguous tensor: out[p] = Σ weight · source[p + shift].

    Shifting the flat memory rather than the rows keeps every operation contiguous. What wraps
    around at a row's end is meaningless and lies outside the part that callers keep.
    """
    flat = source.view(-1)
    length = flat.numel() - max(shift for shift, _ in taps)
    out = torch.zeros_like(source)
    total, product = out.view(-1)[:length], torch.empty(length, dtype=source.dtype)
    for number, (shift, weight) in enumerate(taps):
        here = flat[shift : shift + length]
        if number == 0:
            torch.mul(here, weight, out=total)
        else:
            total.add_(torch.mul(here, weight, out=product))
    return out


@lru_cache(maxsize=64)
def gaussian_weights(sigma: float, radius: int) -> tuple[float, ...]:
    """Weights exp(-i² / 2σ²) for i = -radius … radius, which add up to 1."""
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def gaussian_filter(
    images: Tensor, sigma: float, *, truncate: float = 4.0, border: Border = "nearest"
) -> Tensor:
    """Blur every channel of float32 [..., H, W] with an isotropic Gaussian.

    Args:
        images: the images or fields.
        sigma: standard deviation in pixels.
        truncate: the kernel ends at this many standard deviations.
        border: what lies outside the image.

    Returns:
        Same shape and dtype. As `scipy.ndimage.gaussian_filter` defines it.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return images
    weights = gaussian_weights(sigma, radius)
    if len(weights) > max(images.shape[-2:]):
        return _wide_filter(images, weights, border)
    return symmetric_filter(images, weights, border)


def symmetric_filter(images: Tensor, weights: Sequence[float], border: Border) -> Tensor:
    """Filter both axes of float32 [..., H, W] with a kernel of odd length, the same both ways."""
    radius = len(weights) // 2
    height, width = images.shape[-2:]
    half = weights[radius:]
    result = torch.empty(images.shape)
    planes, out = images.reshape(-1, height, width), result.view(-1, height, width)
    block = max(1, _BLOCK_VALUES // (height * width))
    for part, done in zip(torch.split(planes, block), torch.split(out, block), strict=True):
        source = padded(part, radius, radius, 0, 0, border)
        down = _folded_sum(source, width, half)[:, :height]
        source = padded(down, 0, 0, radius, radius, border)
        done.copy_(_folded_sum(source, 1, half)[..., :width])
    return result


def _folded_sum(source: Tensor, step: int, half: Sequence[float]) -> Tensor:
    """Σ half[|i|] · source[p + (i + radius) · step] over flat memory, as in `shifted_sum`.

    The two neighbours at a distance share a weight, so they are added before they are weighted.
    The weighted sum is one fused operation, which torch rounds in the same way everywhere in a
    tensor; a test holds it to that.
    """
    radius = len(half) - 1
    flat = source.view(-1)
    length = flat.numel() - 2 * radius * step
    total = torch.empty_like(source)
    out, pair = total.view(-1)[:length], torch.empty(length)
    torch.mul(flat[radius * step :][:length], half[0], out=out)
    for distance in range(1, radius + 1):
        before = flat[(radius - distance) * step :][:length]
        after = flat[(radius + distance) * step :][:length]
        out.add_(torch.add(before, after, out=pair), alpha=half[distance])
    return total


def _wide_filter(images: Tensor, weights: Sequence[float], border: Border) -> Tensor:
    """Filter both axes with a kernel wider than the image, its tails folded back inside."""
    for dim in (-2, -1):
        folded = _folded(weights, images.shape[dim], border)
        total = torch.zeros_like(images)
        for source in range(images.shape[dim]):
            column = folded[:, source]
            column = column[:, None] if dim == -2 else column
            total.add_(images.narrow(dim, source, 1) * column)
        images = total
    return images


def _folded(weights: Sequence[float], size: int, border: Border) -> Tensor:
    """The matrix [size, size] that a kernel and a border rule amount to, float32."""
    radius = len(weights) // 2
    matrix = torch.zeros(size, size, dtype=torch.float64)
    here = torch.arange(size)
    for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
        matrix[here, fold_index(here + offset, size, border)] += weight
    return matrix.to(torch.float32)


# Levels are integers up to 255. With weights that are multiples of 1/65,536 every product and sum
# is exact in float32, so the order of adding and fused operations make no difference.
_UNIT = 65536


def streak_filter(images: Tensor, degrees: Tensor, radius: int, sigma: float) -> Tensor:
    """Average pixels along a ray, with weights of half a Gaussian; the border is repeated.

    Args:
        images: float32 [B, C, H, W], integers 0 to 255.
        degrees: float64 [B], the direction of the ray from the pixel on: 0 is to the right,
            90 is down.
        radius: the ray has 2 · radius + 1 taps, one pixel apart.
        sigma: of the Gaussian, in pixels.

    Returns:
        Same shape and dtype, exact for the weights rounded to 1/65,536.
    """
    height, width = images.shape[-2:]
    weights = _ray_weights(radius, sigma)
    # math's sine rather than torch's, whose last bit depends on a number's place in a vector.
    radians = [math.radians(degree) for degree in degrees.tolist()]
    steps = torch.arange(len(weights), dtype=torch.float64)
    rows, columns = (
        torch.tensor([[of(radian)] for radian in radians], dtype=torch.float64)
        .mul(steps)
        .sub(0.5)
        .ceil()
        .long()
        for of in (math.sin, math.cos)
    )
    up, down = -int(rows.amin()), int(rows.amax())
    left, right = -int(columns.amin()), int(columns.amax())
    source = padded(images.flatten(0, 1), up, down, left, right, "nearest")
    # Every `width` neighbours in memory are a row that can be picked whole.
    stride = source.shape[-1]
    windows = source.as_strided((source.numel() - width + 1, width), (1, 1))
    first = torch.arange(len(source)) * source[0].numel()
    here = (first[:, None] + torch.arange(height) * stride).view(len(images), -1)
    shifts = (rows + up) * stride + (columns + left)
    total = torch.zeros(here.numel(), width)
    for tap, weight in enumerate(weights):
        places = (here + shifts[:, tap, None]).view(-1)
        total.add_(windows.index_select(0, places), alpha=weight)
    return total.div_(_UNIT).view(images.shape)


@lru_cache(maxsize=64)
def _ray_weights(radius: int, sigma: float) -> tuple[float, ...]:
    """exp(-i² / 2σ²) for i = 0 … 2·radius, whole numbers that add up to 65,536; no zero tail."""
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(2 * radius + 1)]
    scale = _UNIT / math.fsum(weights)
    whole = [round(weight * scale) for weight in weights]
    whole[0] += _UNIT - sum(whole)
    return tuple(float(weight) for weight in whole if weight > 0)
