"""The plasma fractal by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982).

The photographs may not be shipped, so this imitates four of them: their mean colour, their
contrast, their spread of grey values and the slope of their power spectrum at each resolution. It
is not the benchmark's frost, and results on it say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rwsstore.corruptions.filters import padded
from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.resampling import sample
from rwsstore.errors import DataError, MissingFileError

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
    along, beside = (corners + np.roll(corners, -1, axis) for axis in (2, 1))
    middles = _quarter(along + np.roll(along, -1, 1), wobble[:, 0])
    across, down = (middles + np.roll(middles, 1, axis) for axis in (1, 2))
    field[:, :, 0, :, 0] = corners
    field[:, :, 1, :, 1] = middles
    field[:, :, 0, :, 1] = _quarter(across + along, wobble[:, 1])
    field[:, :, 1, :, 0] = _quarter(down + beside, wobble[:, 2])
    return field.reshape(batch, 2 * cells, 2 * cells)


def _quarter(total: _Map, wobble: _Map) -> _Map:
    return total * np.float32(0.25) + wobble


TABLES = ("cifar", "tiny_imagenet", "imagenet")
"""The severity tables, which stand for resolutions."""


@dataclass(frozen=True)
class FrostProfile:
    """What one photograph looks like.

    Attributes:
        share: how often it is drawn; the shares add up to 1.
        rgb: mean colour, levels 0 to 255.
        deviation: standard deviation within a crop, levels.
        sharpness: how thin the ridges are; chosen for the 5 and 95 % points of the grey values.
        decay: of the plasma, for each of `TABLES`; chosen for the slope of the power spectrum.
    """

    share: float
    rgb: tuple[float, float, float]
    deviation: float
    sharpness: float
    decay: tuple[float, float, float]


PROFILES = (
    FrostProfile(0.2, (78.0, 148.0, 165.0), 14.0, 1.0, (1.04, 1.025, 1.07)),
    FrostProfile(0.4, (198.0, 202.0, 212.0), 18.0, 0.3, (0.99, 1.05, 1.18)),
    FrostProfile(0.2, (143.0, 157.0, 170.0), 26.0, 0.6, (0.93, 0.963, 1.13)),
    FrostProfile(0.2, (102.0, 114.0, 126.0), 35.0, 1.0, (1.04, 1.075, 1.105)),
)
"""Photographs 1, 2 (and 3, its copy), 4 and 5 of the benchmark."""


def synthetic_frost(height: int, width: int, table: str, keys: ImageKeys) -> Tensor:
    """Make frost, of a profile drawn for each image.

    A plasma fractal is shifted around its torus, sharpened into ridges 1 / (1 + sharpness·|z|)
    where it crosses zero, and brought to the profile's mean and deviation.

    Args:
        height: of the images.
        width: of the images.
        table: severity table, which stands for the resolution.
        keys: the per-image random numbers.

    Returns:
        float32 [B, 3, height, width], integer levels 0 to 255.
    """
    side, resolution = map_side(height, width), TABLES.index(table)
    chance = keys.uniform(3, stream=0)
    bounds = torch.tensor([profile.share for profile in PROFILES]).cumsum(0)[:-1]
    choice = torch.bucketize(chance[:, 0].contiguous(), bounds, right=True)
    drawn = [PROFILES[place] for place in choice.tolist()]
    decay = torch.tensor([profile.decay[resolution] for profile in drawn], dtype=torch.float64)
    field = plasma(keys.uniform(side * side - 1, stream=1), side, decay)
    # A piece of the map, which wraps around, from an offset of its own.
    offset = (chance[:, 1:] * side).long()
    rows = (torch.arange(height) + offset[:, :1]) % side
    columns = (torch.arange(width) + offset[:, 1:]) % side
    places = rows[:, :, None] * side + columns[:, None, :]
    field = field.flatten(1).gather(1, places.flatten(1)).view(places.shape)
    figures = torch.tensor(
        [
            (
                *_moments(side, profile.decay[resolution], profile.sharpness),
                profile.sharpness,
                profile.deviation,
            )
            for profile in drawn
        ]
    )
    spread, mean, deviation, sharpness, contrast = figures.view(-1, 5, 1, 1).unbind(1)
    ridges = (1.0 / (1.0 + sharpness * (field.abs() / spread)) - mean) / deviation
    colour = torch.tensor([profile.rgb for profile in drawn]).view(-1, 3, 1, 1)
    return (ridges * contrast)[:, None].add(colour).round_().clamp_(0.0, 255.0)


@lru_cache(maxsize=64)
def _moments(side: int, decay: float, sharpness: float) -> tuple[float, float, float]:
    """The plasma's deviation, and its ridges' mean and deviation, over a fixed sample.

    Rounded, so that another processor's order of summation gives the same numbers.
    """
    sample = ImageKeys(seed=0, name="frost_moments", severity=1, indices=range(64))
    field = plasma(sample.uniform(side * side - 1), side, decay).numpy().astype(np.float64)
    spread = field.std()
    ridges = 1.0 / (1.0 + sharpness * (np.abs(field) / spread))
    spread, mean, deviation = (
        float(f"{number:.5g}") for number in (spread, ridges.mean(), ridges.std())
    )
    return spread, mean, deviation


OVERLAYS_USED = 5
"""The benchmark picks among its first five photographs and never takes the sixth."""

_SUFFIXES = (".jpeg", ".jpg", ".png")


def frost_source(overlays: Path | None = None) -> str:
    """Say which frost is in use, to be shown wherever results are.

    Args:
        overlays: the folder of photographs, or None.

    Returns:
        `synthetic`, or `overlays:<n> files`.

    Raises:
        MissingFileError: there is no such folder.
        DataError: the folder holds no photographs.
    """
    return "synthetic" if overlays is None else f"overlays:{len(_files(overlays))} files"


def load_frost_overlays(folder: Path) -> tuple[Tensor, ...]:
    """Read all PNG and JPEG files of a folder, in the order of their names.

    Returns:
        uint8 [3, H, W] each. The order counts: only the first five are used.

    Raises:
        MissingFileError: there is no such folder.
        DataError: the folder holds no photographs, or a file is no image.
    """
    return tuple(_read(file) for file in _files(folder))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingFileError(f"there is no folder {folder}; expected one of frost photographs")
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    if not files:
        raise DataError(
            f"{folder} holds no {', '.join(_SUFFIXES)} file; expected frost photographs"
        )
    return files


def _read(file: Path) -> Tensor:
    try:
        with Image.open(file) as picture:
            pixels = np.array(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} cannot be read as an image: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def crop_overlays(
    overlays: Sequence[Tensor], height: int, width: int, scale: float, keys: ImageKeys
) -> Tensor:
    """Cut a random piece of a random photograph for each image.

    Args:
        overlays: uint8 [3, H, W] each; the first five are picked from.
        height: of the piece.
        width: of the piece.
        scale: factor by which photographs shrink first; one that would become smaller than the
            piece shrinks just to its size.
        keys: the per-image random numbers.

    Returns:
        float32 [B, 3, height, width], levels 0 to 255.
    """
    pieces = []
    for row, column, choice in keys.uniform(3).double().tolist():
        photo = overlays[int(choice * min(len(overlays), OVERLAYS_USED))]
        factor = max(scale, height / photo.shape[1], width / photo.shape[2])
        top = int(row * max(1, round(photo.shape[1] * factor) - height))
        left = int(column * max(1, round(photo.shape[2] * factor) - width))
        pieces.append(_shrunk_piece(photo, top, left, height, width, factor))
    return torch.stack(pieces)


def _shrunk_piece(
    photo: Tensor, top: int, left: int, height: int, width: int, factor: float
) -> Tensor:
    """A piece of the photograph resized bilinearly as OpenCV does, at (top, left) of the result.

    Only the pixels under the piece are touched, so a large photograph costs nothing.
    """
    rows = (torch.arange(top, top + height, dtype=torch.float64) + 0.5) / factor - 0.5
    columns = (torch.arange(left, left + width, dtype=torch.float64) + 0.5) / factor - 0.5
    first_row, first_column = max(0, int(rows[0])), max(0, int(columns[0]))
    patch = photo[:, first_row : int(rows[-1]) + 2, first_column : int(columns[-1]) + 2]
    grid = torch.meshgrid(rows - first_row, columns - first_column, indexing="ij")
    source = padded(patch[None].to(torch.float32), 0, 0, 0, 0, "nearest")
    return sample(source, grid[0][None], grid[1][None], "nearest")[0].round_()
