"""Small pictures and settings that the tests of corruptions share."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from skimage.filters import gaussian
from torch import Tensor

from rwsstore.corruptions import severity_table
from rwsstore.corruptions.keys import ImageKeys

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

TABLES = ("cifar", "tiny_imagenet", "imagenet")


def smooth_pictures(count: int, height: int = 32, width: int = 32, *, seed: int = 0) -> Tensor:
    """Random colour gradients, some of them dark or saturated: uint8 [count, 3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    fine = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return (fine * 255).to(torch.uint8)


def as_pictures(images: Tensor) -> Picture:
    """[B, C, H, W] to [B, H, W, C]."""
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def as_levels(pictures: npt.NDArray[Any]) -> Picture:
    """Levels as the benchmark stores them: clipped and cut off."""
    return np.asarray(np.clip(pictures, 0, 255)).astype(np.uint8)


def largest_difference(first: Picture, second: Picture) -> int:
    """In levels."""
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def blurred_by_skimage(
    field: npt.NDArray[Any],
    sigma: float,
    *,
    mode: str = "nearest",
    truncate: float = 4.0,
    channel_axis: int | None = None,
) -> Floats:
    """scikit-image's Gaussian filter, in float64."""
    # The library has no types.
    blurred = gaussian(  # type: ignore[no-untyped-call]
        field.astype(np.float64), sigma, mode=mode, truncate=truncate, channel_axis=channel_axis
    )
    return np.asarray(blurred, dtype=np.float64)


def numbers_of(name: str, severity: int, table: str = "cifar") -> tuple[float, ...]:
    """The constants of a corruption."""
    return severity_table(table).numbers[name][severity - 1]


def keys_of(name: str, severity: int, count: int, seed: int = 0) -> ImageKeys:
    """The keys that `corrupt` uses for images 0 … count - 1."""
    return ImageKeys(seed, name, severity, range(count))
