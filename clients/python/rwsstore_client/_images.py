"""Images in whatever form the caller has them, as files to be sent.

PIL and numpy are recognised by what their objects can do; neither is imported.
"""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

_PNG = b"\x89PNG\r\n\x1a\n"
_MEDIA_TYPES = {b"\xff\xd8\xff": "image/jpeg", _PNG: "image/png", b"BM": "image/bmp"}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # longer than a drive's letter
_TRUECOLOUR_8_BIT = (8, 2, 0, 0, 0)
_SENT_AS_THEY_ARE = ("1", "L", "LA", "P", "RGB", "RGBA")  # modes of PIL that a PNG file holds


class ArrayLike(Protocol):
    """A numpy array, as far as it is needed: uint8 of shape [H, W, 3] or [N, H, W, 3]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its size in each dimension."""

    @property
    def dtype(self) -> Any:
        """What its elements are."""

    def tobytes(self) -> bytes:
        """Its bytes in C order."""


class PictureLike(Protocol):
    """A PIL image, as far as it is needed."""

    @property
    def mode(self) -> str:
        """What its pixels are."""

    def convert(self, mode: str) -> Any:
        """It with other pixels."""

    def save(self, fp: Any, format: str) -> None:  # noqa: A002 - PIL's name
        """Write it."""


class FileLike(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """What is left of it."""


ImageLike = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | FileLike | PictureLike | ArrayLike
)
"""One image: a file's bytes, its path, the open file, a PIL image, or an array of numpy, uint8 of
shape [H, W, 3]."""

ImagesLike = ImageLike | Sequence[ImageLike] | Iterator[ImageLike]
"""One image or several; also an array of shape [N, H, W, 3]."""


@dataclass(frozen=True)
class Encoded:
    """An image file.

    Attributes:
        data: its bytes.
        media_type: what they are.
    """

    data: bytes
    media_type: str


Loader = Callable[[], Encoded]


def loaders(images: ImagesLike) -> list[Loader]:
    """What reads or encodes each image; nothing is read yet, so that many need little memory.

    Raises:
        TypeError: something is no image.
        ValueError: there are none, or an array is not of the right shape.
    """
    found = _loaders(images, dimensions=(3, 4))
    if found is None and isinstance(images, Sequence | Iterator):
        found = []
        for image in cast("Iterable[ImageLike]", images):
            found += _loaders(image, dimensions=(3,)) or _refuse(image)
    if found is None:
        _refuse(images)
    if not found:
        raise ValueError("there are no images")
    return found


def _refuse(image: object) -> NoReturn:
    raise TypeError(
        f"{type(image).__name__} is no image; expected bytes, a path, a file open for reading "
        "bytes, a PIL image, an array of uint8 of shape [H, W, 3], or a list of these"
    )


def _loaders(image: Any, dimensions: tuple[int, ...]) -> list[Loader] | None:
    """What reads one image, or an array of so many dimensions; None of what is no image."""
    if isinstance(image, bytes | bytearray | memoryview):
        return [partial(_encoded, bytes(image))]
    if all(hasattr(image, name) for name in ("shape", "dtype", "tobytes")):
        return _array_loaders(image, dimensions)
    if isinstance(image, str) and _URL.match(image):
        raise ValueError(
            f"{image!r} is a URL; images come from this machine: fetch it, then give its bytes"
        )
    if isinstance(image, str | os.PathLike):
        return [lambda: _encoded(Path(image).read_bytes())]
    if any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__):
        return [partial(_from_picture, image)]
    if isinstance(image, io.TextIOBase):
        raise TypeError("a file is open for reading text; expected mode 'rb'")
    return [lambda: _encoded(image.read())] if hasattr(image, "read") else None


def _encoded(data: bytes) -> Encoded:
    for start, media_type in _MEDIA_TYPES.items():
        if data.startswith(start):
            return Encoded(data, media_type)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Encoded(data, "image/webp")
    return Encoded(data, "application/octet-stream")  # the service says what it thinks of it


def _from_picture(picture: PictureLike) -> Encoded:
    buffer = io.BytesIO()
    as_is = picture.mode in _SENT_AS_THEY_ARE
    (picture if as_is else picture.convert("RGB")).save(buffer, format="PNG")
    return Encoded(buffer.getvalue(), "image/png")


def _array_loaders(array: ArrayLike, dimensions: tuple[int, ...]) -> list[Loader]:
    shape = tuple(array.shape)
    if str(array.dtype) != "uint8":
        raise TypeError(f"an array of {array.dtype} is no image; expected uint8, 0 to 255")
    if len(shape) not in dimensions or shape[-1] != 3 or 0 in shape[-3:]:
        expected = " or ".join("[H, W, 3]" if size == 3 else "[N, H, W, 3]" for size in dimensions)
        raise ValueError(f"an array of shape {list(shape)} is no image; expected {expected}")
    height, width, _ = shape[-3:]
    size = 3 * height * width
    data = array.tobytes()
    return [
        partial(_from_rgb, data[start : start + size], width, height)
        for start in range(0, len(data), size)
    ]


def _from_rgb(rgb: bytes, width: int, height: int) -> Encoded:
    """A PNG of 3 bytes a pixel, row by row from the top: losslessly, and without a library."""
    stride = 3 * width
    rows = b"".join(b"\0" + rgb[row * stride : (row + 1) * stride] for row in range(height))
    chunks = (
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *_TRUECOLOUR_8_BIT)),
        _chunk(b"IDAT", zlib.compress(rows, level=1)),
        _chunk(b"IEND", b""),
    )
    return Encoded(b"".join([_PNG, *chunks]), "image/png")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
