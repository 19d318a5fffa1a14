"""Frost photographs of the user's own, such as the benchmark's, which are not shipped."""

__all__ = ["OVERLAYS_USED", "crop_overlays", "frost_source", "load_frost_overlays"]

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.ops.borders import padded
from rwsstore.corruptions.ops.resampling import sample
from rwsstore.errors import DataError, MissingFileError

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
