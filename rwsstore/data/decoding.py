"""Decoding many image files at once, in threads."""

__all__ = ["decode_files"]

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rwsstore.data.pixels import MAX_FILE_BYTES, check_memory, decode_image
from rwsstore.errors import DataError, FormatError
from rwsstore.machine import thread_count
from rwsstore.progress import Reporter

_CHUNK = 256
_NAMED = 5
_MOST_THREADS = 16


@dataclass(frozen=True)
class _Bad:
    """A file that could not be used, and why."""

    path: Path
    reason: str


def decode_files(paths: Sequence[Path], size: int | None, progress: Reporter) -> NDArray[np.uint8]:
    """Decode image files to one array, in the order given.

    Args:
        paths: at least one.
        size: height and width to fit each image to; None when all have the same already.
        progress: told about every chunk of files.

    Returns:
        uint8 [N, 3, H, W].

    Raises:
        DataError: files that cannot be read (the first few named, all counted), that differ in
            size with `size` None, or that would decode to more than `MAX_DECODED_BYTES`.
    """
    height, width = (size, size) if size is not None else _common_shape(paths)
    check_memory(len(paths), height, width)
    pixels = np.empty((len(paths), 3, height, width), dtype=np.uint8)
    bad: list[_Bad] = []
    with (
        ThreadPoolExecutor(min(_MOST_THREADS, thread_count())) as pool,
        progress.task("decoding images", total=len(paths)) as task,
    ):
        starts = range(0, len(paths), _CHUNK)
        chunks = pool.map(lambda at: _decode_chunk(paths, at, size, pixels), starts)
        for start, found in zip(starts, chunks, strict=True):
            bad += found
            task.advance(min(_CHUNK, len(paths) - start))
    _refuse_bad(bad, len(paths))
    return pixels


def _decode_chunk(
    paths: Sequence[Path], start: int, size: int | None, pixels: NDArray[np.uint8]
) -> list[_Bad]:
    bad = []
    for index in range(start, min(start + _CHUNK, len(paths))):
        try:
            image = decode_image(_read(paths[index]), size=size)
        except (FormatError, OSError) as error:
            bad.append(_Bad(paths[index], str(error)))
            continue
        if image.shape[:2] != pixels.shape[2:]:
            bad.append(_Bad(paths[index], _other_size(image, pixels)))
            continue
        pixels[index] = image.transpose(2, 0, 1)
    return bad


def _other_size(image: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> str:
    found, first = image.shape, pixels.shape
    return f"is {found[1]}x{found[0]}, others {first[3]}x{first[2]}; give a size to fit them to"


def _read(path: Path) -> bytes:
    # One byte more than the limit is enough for decode_image to refuse it.
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _common_shape(paths: Sequence[Path]) -> tuple[int, int]:
    """Find height and width of the first image that can be read."""
    bad = []
    for path in paths:
        try:
            height, width = decode_image(_read(path)).shape[:2]
        except (FormatError, OSError) as error:
            bad.append(_Bad(path, str(error)))
        else:
            return height, width
    _refuse_bad(bad, len(paths))
    raise DataError("there are no images to decode")


def _refuse_bad(bad: Sequence[_Bad], total: int) -> None:
    if not bad:
        return
    named = "".join(f"\n  {item.path} {item.reason}" for item in bad[:_NAMED])
    more = f"\n  and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    raise DataError(f"{len(bad)} of {total} images cannot be used; mend or remove:{named}{more}")
