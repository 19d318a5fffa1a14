"""Glass blur: seen through frosted glass, neighbouring pixels change places."""

__all__ = ["glass_blur", "shuffle_sources"]

import torch
from torch import Tensor

from rwsstore.corruptions.ops.filters import gaussian_filter
from rwsstore.corruptions.ops.levels import from_levels, truncated
from rwsstore.corruptions.setting import Setting


def glass_blur(images: Tensor, setting: Setting) -> Tensor:
    """Blur, truncate to 8 bits, let pixels be overwritten by neighbours, blur again.

    Args:
        images: float32 [B, C, H, W] in [0, 1].
        setting: numbers (sigma in pixels, largest displacement d in pixels, passes).
    """
    sigma, reach, passes = setting.numbers[0], int(setting.numbers[1]), int(setting.numbers[2])
    batch, channels, height, width = images.shape
    pixels = from_levels(truncated(gaussian_filter(images, sigma))).flatten(2)
    inner = (max(height - 2 * reach, 0), max(width - 2 * reach, 0))
    offsets = setting.keys.integers(-reach, reach, passes, *inner, 2)
    for number in range(passes):
        sources = shuffle_sources(offsets[:, number], reach, height, width)
        pixels = pixels.gather(2, sources[:, None].expand(-1, channels, -1))
    return gaussian_filter(pixels.view(batch, channels, height, width), sigma)


def shuffle_sources(offsets: Tensor, reach: int, height: int, width: int) -> Tensor:
    """Where each pixel's value comes from after one pass of the benchmark's shuffle.

    The pass visits rows and columns from size - d down to d + 1. The released code means to swap
    a pixel with its neighbour, but copies: numpy hands out views, so the neighbour's value is
    written over the pixel and the neighbour stays as it is. A pixel that copies from one visited
    before gets what that one had become, so sources are followed along chains of such copies,
    doubling the step until no chain is left.

    Args:
        offsets: int64 [B, height - 2d, width - 2d, 2], column and row of the neighbour from each
            visited pixel, in -d … d - 1.
        reach: d.
        height: of the image.
        width: of the image.

    Returns:
        int64 [B, height · width], flat positions in the image before the pass.
    """
    batch, size = offsets.shape[0], height * width
    own = torch.arange(size)
    shift = torch.zeros(batch, height, width, dtype=torch.int64)
    visited = (
        slice(None),
        slice(reach + 1, height - reach + 1),
        slice(reach + 1, width - reach + 1),
    )
    shift[visited] = offsets[..., 1] * width + offsets[..., 0]
    is_visited = torch.zeros(1, height, width, dtype=torch.bool)
    is_visited[visited] = True
    neighbour = own + shift.view(batch, size)
    # Nodes below `size` are pixels before the pass, the rest pixels after it. A visited pixel
    # leads to its neighbour: after the pass if that was visited earlier, else before.
    earlier = is_visited.view(-1)[neighbour] & (neighbour > own)
    after = torch.where(earlier, neighbour + size, neighbour)
    step = torch.cat([own.expand(batch, size), after], dim=1)
    while int(step.max()) >= size:
        step = step.gather(1, step)
    return step[:, size:]
