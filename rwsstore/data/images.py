"""From the bytes of image files to RGB pixels of a wanted size, many at once."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from rwsstore.cpu import thread_count
from rwsstore.data.imageset import ImageSet
from rwsstore.errors import ConfigError, DataError, FormatError, TooLargeError, UnsupportedError
from rwsstore.files import read_bounded
from rwsstore.progress import Reporter

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""The only decoders that are tried, in Pillow's names."""

MAX_FILE_BYTES = 64 * 2**20
"""A larger file is refused unread."""

MAX_PIXELS = 64 * 2**20
"""An image with more pixels is refused from its header, before anything is decoded."""

MAX_DECODED_BYTES = 8 * 2**30
"""A set that would take more memory once decoded is refused."""

MAX_SIZE = 4096
"""The largest `size`, in pixels."""

# What converts to 8-bit RGB without loss of range; 16-bit and float images would be clipped.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def check_size(size: int | None) -> None:
    """Refuse a wanted size that is not None and not in 1..MAX_SIZE.

    Raises:
        ConfigError: it is out of range.
    """
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise ConfigError(f"the size is {size} pixels; it must be in 1..{MAX_SIZE}")


def check_memory(count: int, height: int, width: int) -> None:
    """Refuse a set of `count` images that would take more than `MAX_DECODED_BYTES`.

    Raises:
        DataError: it would.
    """
    needed = count * 3 * height * width
    if needed > MAX_DECODED_BYTES:
        raise DataError(
            f"{count:,} images of {width}x{height} would take {needed / 2**30:.1f} GiB; at most "
            f"{MAX_DECODED_BYTES / 2**30:g} GiB are decoded: give a smaller size or fewer images"
        )


def decode_image(
    data: bytes, *, size: int | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode one JPEG, PNG, WebP or BMP to RGB.

    The orientation in EXIF is honoured, so a photograph is seen upright. Transparency is
    dropped. Where `size` is given and differs, see `fit_image`.

    Args:
        data: the whole file.
        size: height and width wanted; None keeps the image's own.
        max_pixels: an image with more is refused from its header.

    Returns:
        uint8 [H, W, 3].

    Raises:
        TooLargeError: more than `max_pixels` pixels or `MAX_FILE_BYTES` bytes.
        UnsupportedError: another format, an animation, or more than 8 bits a channel.
        FormatError: a damaged file.
        ConfigError: `size` is out of range.
    """
    check_size(size)
    if len(data) > MAX_FILE_BYTES:
        raise TooLargeError(f"has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, max_pixels)
            picture = _upright_rgb(image)
    except UnidentifiedImageError:
        raise UnsupportedError("is not a JPEG, PNG, WebP or BMP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(f"is too large: {error}") from None
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise FormatError(f"is damaged: {error}") from error
    return np.asarray(picture if size is None else fit_image(picture, size))


def read_image(path: Path, *, size: int) -> Tensor:
    """Read one image file and bring its middle square to a size.

    Args:
        path: a JPEG, PNG, WebP or BMP.
        size: height and width wanted.

    Returns:
        uint8 [3, size, size].

    Raises:
        MissingFileError: there is no such file.
        FormatError, ConfigError: as `decode_image`.
    """
    data = read_bounded(path, limit=MAX_FILE_BYTES, what="image")
    try:
        pixels = decode_image(data, size=size)
    except FormatError as error:
        raise FormatError(f"{path} {error}") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise TooLargeError(
            f"is {image.width}x{image.height}; at most {max_pixels:,} pixels are decoded"
        )
    # A multi-picture JPEG (MPO) is an ordinary photograph with a preview behind it.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnsupportedError("is an animation; single images are wanted")
    if image.mode not in _MODES:
        raise UnsupportedError(
            f"has pixels of mode {image.mode}; at most 8 bits a channel are read"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def fit_image(image: Image.Image, size: int) -> Image.Image:
    """Bring the shorter side to `size` and cut the middle square; nothing where it fits already.

    Antialiased bilinear, over the middle square only: a very long image costs no more.
    """
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )


def fit_all(images: ImageSet, size: int | None, progress: Reporter) -> ImageSet:
    """Bring every image of a set to `size`, as `fit_image` does; None leaves the set alone.

    Raises:
        ConfigError: `size` is out of range.
        DataError: the result would take too much memory.
    """
    check_size(size)
    if size is None or images.images.shape[2:] == (size, size):
        return images
    check_memory(len(images), size, size)
    fitted = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    with progress.task(f"resizing {images.name}", total=len(images)) as task:
        for index, image in enumerate(images.images):
            picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
            pixels = np.array(fit_image(picture, size))
            fitted[index] = torch.from_numpy(pixels).permute(2, 0, 1)
            task.advance()
    return replace(images, images=fitted)


_CHUNK = 256
_NAMED = 5
_MOST_THREADS = 16


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
    bad: list[str] = []
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
) -> list[str]:
    """Decode some of the files into their rows; says which cannot be used, and why."""
    height, width = pixels.shape[2:]
    bad = []
    for index in range(start, min(start + _CHUNK, len(paths))):
        try:
            image = decode_image(_read(paths[index]), size=size)
        except (FormatError, OSError) as error:
            bad.append(f"{paths[index]} {error}")
            continue
        if image.shape[:2] == (height, width):
            pixels[index] = image.transpose(2, 0, 1)
        else:
            bad.append(
                f"{paths[index]} is {image.shape[1]}x{image.shape[0]}, others {width}x{height}; "
                "give a size to fit them to"
            )
    return bad


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
            bad.append(f"{path} {error}")
        else:
            return height, width
    _refuse_bad(bad, len(paths))
    raise DataError("there are no images to decode")


def _refuse_bad(bad: Sequence[str], total: int) -> None:
    if not bad:
        return
    named = "".join(f"\n  {item}" for item in bad[:_NAMED])
    more = f"\n  and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    raise DataError(f"{len(bad)} of {total} images cannot be used; mend or remove:{named}{more}")
