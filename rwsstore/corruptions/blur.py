"""Blur: five ways in which optics and motion mix neighbouring pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions import filters
from rwsstore.corruptions.keys import ImageKeys, Setting
from rwsstore.corruptions.resampling import centre_zoom
from rwsstore.corruptions.rows import FLAT, corruption, mixed_images, whole_at, zoom_factors

# A tap of less than this moves no float32 result.
_NEGLIGIBLE = 1e-9
# Weights that differ by this much in all move no result by a third of a level.
_CLOSE = 2e-3
# Values worked on at a time, to stay in the processor's cache.
_BLOCK_VALUES = 1 << 18


@corruption("blur", "a lens out of focus", is_random=False, between=mixed_images, spares=FLAT)
def defocus_blur(images: Tensor, setting: Setting) -> Tensor:
    """Correlate with a smoothed disc, the border mirrored.

    Numbers: disc radius in pixels, sigma in pixels of the disc's smoothing.
    """
    radius, sigma = setting.numbers
    if radius < 1.0:
        smoothing = filters.gaussian_weights(sigma, 1)
        return filters.truncated(
            filters.symmetric_filter(filters.floats(images), smoothing, "mirror")
        )
    parts = _parts(radius, sigma)
    if parts is None:
        return filters.truncated(
            filters.correlate(filters.floats(images), disc_kernel(radius, sigma), "mirror")
        )
    block = max(1, _BLOCK_VALUES // images[0].numel())
    share, blurred = 1.0 / disc_area(radius), []
    for part in torch.split(images, block):
        around = Surround(part, radius, 1 if parts.side else 0)
        sums = around.disc()
        sums = _smoothed(sums, parts.side, share) if parts.side else sums.mul(share)
        if parts.tip:
            sums.add_(around.rim(), alpha=parts.rim).add_(around.tips(), alpha=parts.tip)
        blurred.append(filters.truncated(sums).view(part.shape))
    return torch.cat(blurred)


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
    side = filters.gaussian_weights(sigma, margin)[margin - 1]
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
    weights = filters.gaussian_weights(sigma, margin)
    smoothed = filters.correlate(disc / disc.sum(), [[weight] for weight in weights], "mirror")
    smoothed = filters.correlate(smoothed, [list(weights)], "mirror")
    smoothed[smoothed < _NEGLIGIBLE] = 0.0
    used = int(smoothed.amax(dim=0).nonzero().min())
    return tuple(
        map(tuple, smoothed[used : smoothed.shape[0] - used, used : -used or None].tolist())
    )


@corruption("blur", "seen through frosted glass", between=whole_at(1, 2), spares=FLAT)
def glass_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur, truncate to 8 bits, let pixels be overwritten by neighbours, blur again.

    Numbers: sigma in pixels, largest displacement d in pixels, passes.
    """
    sigma, reach, passes = setting.numbers[0], int(setting.numbers[1]), int(setting.numbers[2])
    batch, channels, height, width = images.shape
    pixels = filters.truncated(filters.gaussian_filter(filters.floats(images), sigma))
    first = torch.arange(batch, dtype=torch.int32)[:, None] * (height * width)
    sources = None
    for number in range(passes):
        offsets = shuffle_offsets(setting.keys, number, reach, height, width)
        step = shuffle_sources(offsets, reach, height, width).to(torch.int32) + first
        # The last pass says where to look in the picture that the passes before it left.
        sources = step if sources is None else sources.view(-1).index_select(0, step.view(-1))
    moved = pixels
    if sources is not None:
        # From places in one plane an image to places in all planes.
        planes = torch.arange(channels, dtype=torch.int32).view(1, -1, 1) * (height * width)
        index = (sources.view(batch, -1) + first * (channels - 1))[:, None] + planes
        moved = pixels.view(-1).index_select(0, index.view(-1)).view(pixels.shape)
    return filters.truncated(filters.gaussian_filter(filters.floats(moved), sigma))


def shuffle_offsets(keys: ImageKeys, number: int, reach: int, height: int, width: int) -> Tensor:
    """Draw the neighbours of one pass: (column, row) from each visited pixel, in -d … d - 1.

    Args:
        keys: the per-image random numbers.
        number: of the pass.
        reach: d.
        height: of the image.
        width: of the image.

    Returns:
        int32 [B, 2, height - 2d, width - 2d].
    """
    inner = (max(height - 2 * reach, 0), max(width - 2 * reach, 0))
    chance = torch.from_numpy(keys.bits16(2, *inner, stream=number)).to(torch.int32)
    return chance.mul_(2 * reach).bitwise_right_shift_(16).sub_(reach)


def shuffle_sources(offsets: Tensor, reach: int, height: int, width: int) -> Tensor:
    """Where each pixel's value comes from after one pass of the benchmark's shuffle.

    The pass visits rows and columns from size - d down to d + 1. The released code means to swap
    a pixel with its neighbour, but copies: numpy hands out views, so the neighbour's value is
    written over the pixel and the neighbour stays as it is. A pixel that copies from one visited
    before gets what that one had become, so sources are followed along chains of such copies.

    Args:
        offsets: int32 [B, 2, height - 2d, width - 2d], column and row of the neighbour from each
            visited pixel, in -d … d - 1.
        reach: d.
        height: of the image.
        width: of the image.

    Returns:
        int32 [B, height · width], flat positions in the image before the pass.
    """
    batch, size = offsets.shape[0], height * width
    shift = torch.zeros(batch, height, width, dtype=torch.int32)
    visited = (slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1))
    torch.add(offsets[:, 0], offsets[:, 1], alpha=width, out=shift[:, visited[0], visited[1]])
    shift = shift.view(batch, size)
    sources = shift + torch.arange(size, dtype=torch.int32)
    if reach == 1:  # no neighbour comes earlier in the scan
        return sources
    # A neighbour later in memory comes earlier in the scan (or is not visited and stays itself):
    # what it became is wanted. The others are wanted as they were, which is noted by adding `size`.
    sources.add_((shift - 1).bitwise_right_shift_(31).bitwise_and_(size))
    return _followed(sources)


def _followed(sources: Tensor) -> Tensor:
    """Follow positions below `size` to what is noted there, until all are above: less `size`.

    Each round doubles how far along its chain every pixel has come.
    """
    batch, size = sources.shape
    first = torch.arange(batch, dtype=torch.int32)[:, None] * (2 * size)
    table = torch.empty(batch, 2 * size, dtype=torch.int32)
    table[:, size:] = torch.arange(size, 2 * size, dtype=torch.int32)
    while int(sources.amin()) < size:
        table[:, :size] = sources
        sources = table.view(-1).index_select(0, (sources + first).view(-1)).view(batch, size)
    return sources - size


_WIDEST_ANGLE = 45.0


@corruption("blur", "a camera moving sideways", between=whole_at(0), spares=FLAT)
def motion_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur one-sidedly along a direction drawn from -45 to 45 degrees.

    The benchmark leaves this one to ImageMagick, which rounds to 8 bits; so does this.

    Numbers: radius in pixels, sigma in pixels.
    """
    radius, sigma = setting.numbers
    chance = setting.keys.uniform(1)[:, 0].double()
    degrees = (2.0 * chance - 1.0) * _WIDEST_ANGLE
    return filters.rounded(
        filters.streak_filter(filters.floats(images), degrees, int(radius), sigma)
    )


@corruption("blur", "a camera moving forwards", is_random=False, between=zoom_factors, spares=FLAT)
def zoom_blur(images: Tensor, setting: Setting) -> Tensor:
    """Average the image and its centre enlarged by each factor.

    Numbers: the zoom factors; the first is 1, so the image itself counts twice.
    """
    pixels = filters.floats(images.permute(2, 3, 0, 1).contiguous())
    total = pixels.clone()
    for factor in setting.numbers:
        total.add_(centre_zoom(pixels, factor))
    blurred = filters.truncated(total.div_(len(setting.numbers) + 1))
    return blurred.permute(2, 3, 0, 1).contiguous()


@corruption("blur", "a plain Gaussian blur", is_random=False, spares=FLAT)
def gaussian_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur with an isotropic Gaussian, border repeated, cut at four standard deviations.

    Numbers: sigma in pixels.
    """
    (sigma,) = setting.numbers
    return filters.truncated(filters.gaussian_filter(filters.floats(images), sigma))


_MIDDLE = 128
# That many centred levels, -128 to 127 each, add up within 16 bits.
_MOST_TERMS = 255


@lru_cache(maxsize=64)
def half_widths(radius: float) -> tuple[int, ...]:
    """For each row of a disc, from the top, how far it reaches to either side of the middle."""
    reach = int(radius)
    return tuple(
        int(math.sqrt(radius * radius - row * row) + 1e-9) for row in range(-reach, reach + 1)
    )


def disc_area(radius: float) -> int:
    """Number of pixels in a disc."""
    return sum(2 * half + 1 for half in half_widths(radius))


class Surround:
    """Sums of levels around every pixel; the border is mirrored.

    A sum is made of runs of pixels, each given by its place around the middle. Shifts go through
    flat memory, as in `filters.shifted_sum`.
    """

    def __init__(self, images: Tensor, radius: float, margin: int) -> None:
        """Prepare to add up.

        Args:
            images: uint8 [B, C, H, W].
            radius: of the disc in pixels, at least 1.
            margin: how many more pixels to give on every side, outside the image.
        """
        height, width = images.shape[-2:]
        self._halves = half_widths(radius)
        self._side = side = int(radius) + margin
        source = filters.padded(images.view(-1, height, width), side, side, side, side, "mirror")
        self._shape, self._stride = source.shape, source.shape[-1]
        self._margin, self._height, self._width = margin, height, width
        self._flat = source.view(-1).to(torch.int16).sub_(_MIDDLE)
        self._rows = _runs(self._flat, {2 * half + 1 for half in self._halves}, 1)

    def disc(self) -> Tensor:
        """Sums over the disc: float32 [B · C, H + 2·margin, W + 2·margin], integers."""
        reach = len(self._halves) // 2
        runs = [
            (self._rows[2 * half + 1], (row - reach, -half), 2 * half + 1)
            for row, half in enumerate(self._halves)
        ]
        return self._sum(runs, self._margin)

    def rim(self) -> Tensor:
        """Sums over the sides of the square around the disc, as long as the disc's second row.

        Returns:
            float32 [B · C, H, W], integers.
        """
        reach, half = len(self._halves) // 2, self._halves[1]
        length = 2 * half + 1
        columns = _runs(self._flat, {length}, self._stride)[length]
        across = [(self._rows[length], (row, -half), length) for row in (-reach, reach)]
        down = [(columns, (-half, column), length) for column in (-reach, reach)]
        return self._sum(across + down, 0)

    def tips(self) -> Tensor:
        """Sums of the four pixels just outside that square, in the middle of its sides.

        Returns:
            float32 [B · C, H, W], integers; the margin must be at least 1.
        """
        beyond = len(self._halves) // 2 + 1
        places = ((-beyond, 0), (beyond, 0), (0, -beyond), (0, beyond))
        return self._sum([(self._flat, place, 1) for place in places], 0)

    def _sum(self, runs: Sequence[tuple[Tensor, tuple[int, int], int]], margin: int) -> Tensor:
        """Add up runs, each with the place of its first pixel and its length."""
        total = torch.empty(self._shape)
        first = (self._side - margin) * (self._stride + 1)
        length = self._flat.numel() - 2 * first
        result, part, terms, is_new = total.view(-1)[:length], None, 0, True
        for run, (row, column), size in runs:
            piece = run[first + row * self._stride + column :][:length]
            if part is not None and terms + size <= _MOST_TERMS:
                part.add_(piece)
            else:
                if part is not None:
                    result = result.copy_(part) if is_new else result.add_(part.float())
                    is_new = False
                part, terms = piece.clone(), 0
            terms += size
        if part is not None:
            result.copy_(part) if is_new else result.add_(part.float())
        area = sum(size for _, _, size in runs)
        result.add_(float(_MIDDLE * area))
        return total[:, : self._height + 2 * margin, : self._width + 2 * margin]


def _runs(flat: Tensor, lengths: set[int], step: int) -> Mapping[int, Tensor]:
    """For each length, the sums of so many numbers a step apart, starting at every place."""
    # 16 bits overflow and wrap around; the difference of two sums, which fits in them, is exact.
    sums = F.pad(flat.view(-1, step).cumsum(0, dtype=torch.int16).view(-1), (step, 0))
    return {length: sums[length * step :] - sums[: -length * step] for length in lengths}
