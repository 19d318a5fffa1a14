"""Glass blur: seen through frosted glass, neighbouring pixels change places."""

__all__ = ["glass_blur", "shuffle_offsets", "shuffle_sources"]

import torch
from torch import Tensor

from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.ops.filters import gaussian_filter
from rwsstore.corruptions.ops.levels import floats, truncated
from rwsstore.corruptions.setting import Setting


def glass_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur, truncate to 8 bits, let pixels be overwritten by neighbours, blur again.

    Args:
        images: uint8 [B, C, H, W].
        setting: numbers (sigma in pixels, largest displacement d in pixels, passes).
    """
    sigma, reach, passes = setting.numbers[0], int(setting.numbers[1]), int(setting.numbers[2])
    batch, _, height, width = images.shape
    pixels = truncated(gaussian_filter(floats(images), sigma))
    first = torch.arange(batch, dtype=torch.int32)[:, None] * (height * width)
    sources = None
    for number in range(passes):
        offsets = shuffle_offsets(setting.keys, number, reach, height, width)
        step = shuffle_sources(offsets, reach, height, width).to(torch.int32) + first
        # The last pass says where to look in the picture that the passes before it left.
        sources = step if sources is None else sources.view(-1).index_select(0, step.view(-1))
    moved = pixels if sources is None else _picked(pixels, sources.view(batch, -1), first)
    return truncated(gaussian_filter(floats(moved), sigma))


def _picked(pixels: Tensor, sources: Tensor, first: Tensor) -> Tensor:
    """Pixels of uint8 [B, C, H, W] at int32 [B, H · W] flat positions in a plane of the batch."""
    channels = pixels.shape[1]
    planes = torch.arange(channels, dtype=torch.int32).view(1, -1, 1) * first.new_tensor(
        pixels[0, 0].numel()
    )
    index = (sources + first * (channels - 1))[:, None] + planes
    return pixels.view(-1).index_select(0, index.view(-1)).view(pixels.shape)


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
