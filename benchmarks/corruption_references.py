"""References for the corruptions: the package, and its libraries' primitives where it differs.

The package's zoom_blur keeps the upper left of the enlarged image instead of its middle, its
pixelate enlarges by another filter, its frost knows a sixth photograph and another scale, and its
elastic_transform is another algorithm. Those are written here with SciPy, Pillow and OpenCV, from
the description in words of the benchmark's released code.
"""

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import cv2
import imagecorruptions
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage, stats
from skimage.filters import gaussian
from torch import Tensor

from rwsstore.corruptions import corrupt, load_frost_overlays, severity_table
from rwsstore.corruptions.keys import ImageKeys

Reference = Callable[[Tensor, int], Tensor]
Floats = npt.NDArray[np.float64]

NUMBERS = severity_table("imagenet").numbers
PHOTOGRAPHS = Path(str(resources.files("imagecorruptions"))) / "frost"


def _each(images: Tensor, change: Callable[[npt.NDArray[np.uint8]], object]) -> Tensor:
    """Change [H, W, 3] images one by one."""
    pictures = images.permute(0, 2, 3, 1).contiguous().numpy()
    changed = np.stack([np.asarray(change(picture), dtype=np.uint8) for picture in pictures])
    return torch.from_numpy(changed).permute(0, 3, 1, 2).contiguous()


def package(name: str) -> Reference:
    def reference(images: Tensor, severity: int) -> Tensor:
        change = partial(imagecorruptions.corrupt, corruption_name=name, severity=severity)
        return _each(images, change)

    return reference


def ours(name: str) -> Reference:
    return lambda images, severity: corrupt(images, name, severity, seed=0, table="imagenet")


def _given(name: str, formula: Callable[[Floats, ImageKeys, float], Floats]) -> Reference:
    """A noise in float64, of values in [0, 1], given the random numbers that ours takes."""

    def reference(images: Tensor, severity: int) -> Tensor:
        keys = ImageKeys(0, name, severity, range(len(images)))
        x = formula(images.double().numpy() / 255, keys, NUMBERS[name][severity - 1][0])
        # The fraction of a level is cut off.
        return torch.from_numpy((np.clip(x, 0, 1) * 255 + 1e-6).astype(np.uint8))

    return reference


def _normal(x: Floats, keys: ImageKeys) -> Floats:
    return keys.normal(*x.shape[1:]).double().numpy()


def _impulses(x: Floats, keys: ImageKeys, share: float) -> Floats:
    chance = np.asarray(keys.bits16(*x.shape[1:])) / 65536
    peppered = np.where(chance < round(share * 65536) / 65536, 0.0, x)
    return np.where(chance < round(share * 32768) / 65536, 1.0, peppered)


def _shots(x: Floats, keys: ImageKeys, count: float) -> Floats:
    chance = np.asarray(keys.bits16(*x.shape[1:]) >> 2)
    return np.asarray(stats.poisson.ppf((chance + 0.5) / 16384, x * count)) / count


def pixelate(images: Tensor, severity: int) -> Tensor:
    factor = NUMBERS["pixelate"][severity - 1][0]

    def change(picture: npt.NDArray[np.uint8]) -> object:
        height, width = picture.shape[:2]
        small = Image.fromarray(picture).resize(
            (int(width * factor), int(height * factor)), Image.Resampling.BOX
        )
        return small.resize((width, height), Image.Resampling.BOX)

    return _each(images, change)


def zoom_blur(images: Tensor, severity: int) -> Tensor:
    factors = NUMBERS["zoom_blur"][severity - 1]

    def change(picture: npt.NDArray[np.uint8]) -> object:
        x = picture / 255
        total = x + sum(_zoomed(x, factor) for factor in factors)
        return np.clip(total / (len(factors) + 1), 0, 1) * 255 + 1e-6

    return _each(images, change)


def _zoomed(x: Floats, factor: float) -> Floats:
    size = x.shape[0]
    crop = int(np.ceil(size / factor))
    top = (size - crop) // 2
    part = x[top : top + crop, top : top + crop]
    large = ndimage.zoom(part, (factor, factor, 1), order=1)
    trim = (large.shape[0] - size) // 2
    return np.asarray(large[trim : trim + size, trim : trim + size])


def elastic_transform(images: Tensor, severity: int) -> Tensor:
    """An affine warp by three jittered points, then displacement by two smoothed fields."""
    amplitude, sigma, jitter = NUMBERS["elastic_transform"][severity - 1]
    random = np.random.default_rng(1)

    def smoothed(side: int) -> Floats:
        field = random.uniform(-1, 1, (side, side))
        # The library has no types.
        blurred = gaussian(field, sigma, mode="reflect", truncate=3)  # type: ignore[no-untyped-call]
        return np.asarray(blurred) * amplitude

    def change(picture: npt.NDArray[np.uint8]) -> object:
        side = picture.shape[0]
        third = side // 3
        points = side // 2 + third * np.array([[1, 1], [1, -1], [-1, -1]])
        moved = points + random.uniform(-jitter, jitter, (3, 2))
        matrix = cv2.getAffineTransform(points.astype(np.float32), moved.astype(np.float32))
        warped = cv2.warpAffine(
            picture.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
        )
        rows, columns = np.mgrid[:side, :side] + np.stack([smoothed(side), smoothed(side)])
        planes = [
            ndimage.map_coordinates(warped[..., channel], [rows, columns], order=1, mode="reflect")
            for channel in range(3)
        ]
        return np.clip(np.stack(planes, axis=-1), 0, 255)

    return _each(images, change)


def frost_by_photographs(images: Tensor, severity: int) -> Tensor:
    return corrupt(
        images, "frost", severity, seed=0, table="imagenet",
        frost_overlays=load_frost_overlays(PHOTOGRAPHS),
    )  # fmt: skip


def frost(images: Tensor, severity: int) -> Tensor:
    """A random piece of one of the first five photographs, at scale 1 (ImageNet's)."""
    weight, ice = NUMBERS["frost"][severity - 1]
    files = sorted(PHOTOGRAPHS.iterdir())[:5]
    photographs = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    random = np.random.default_rng(1)

    def change(picture: npt.NDArray[np.uint8]) -> object:
        photograph = photographs[random.integers(5)]
        side = picture.shape[0]
        top = random.integers(photograph.shape[0] - side)
        left = random.integers(photograph.shape[1] - side)
        piece = photograph[top : top + side, left : left + side]
        return np.clip(weight * picture + ice * piece, 0, 255)

    return _each(images, change)


PIXEL_BY_PIXEL: dict[str, tuple[str, Reference]] = {
    "gaussian_noise": (
        "its formula in float64, given the normal noise",
        _given("gaussian_noise", lambda x, keys, c: x + c * _normal(x, keys)),
    ),
    "shot_noise": (
        "SciPy's Poisson quantiles, given the uniform noise",
        _given("shot_noise", _shots),
    ),
    "impulse_noise": (
        "its formula in float64, given the uniform noise",
        _given("impulse_noise", _impulses),
    ),
    "speckle_noise": (
        "its formula in float64, given the normal noise",
        _given("speckle_noise", lambda x, keys, c: x + x * c * _normal(x, keys)),
    ),
    "defocus_blur": ("the package (OpenCV)", package("defocus_blur")),
    "zoom_blur": ("SciPy's zoom", zoom_blur),
    "gaussian_blur": ("the package (scikit-image)", package("gaussian_blur")),
    "brightness": ("the package (scikit-image)", package("brightness")),
    "contrast": ("the package", package("contrast")),
    "pixelate": ("Pillow's box resize", pixelate),
    "jpeg_compression": ("Pillow's encoder", package("jpeg_compression")),
    "saturate": ("the package (scikit-image)", package("saturate")),
}
"""What the reference is, and the reference."""

IN_DISTRIBUTION: dict[str, tuple[tuple[str, Reference, Reference], ...]] = {
    **{
        name: (("the package", ours(name), package(name)),)
        for name in (
            "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise",
            "glass_blur", "motion_blur", "snow", "fog", "spatter",
        )
    },
    "elastic_transform": (
        ("the algorithm in words, by OpenCV and SciPy", ours("elastic_transform"),
         elastic_transform),
    ),
    "frost": (
        ("with the photographs: the algorithm in words", frost_by_photographs, frost),
    ),
}  # fmt: skip
"""What the reference is, ours, and the reference."""
