"""PNG files made of rows of RGB bytes, so that arrays can be sent without an imaging library."""

__all__ = ["encode_png"]

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUECOLOUR_8_BIT = (8, 2, 0, 0, 0)


def encode_png(rgb: bytes, *, width: int, height: int) -> bytes:
    """Write an image of 3 bytes a pixel, row by row from the top, losslessly."""
    stride = 3 * width
    rows = b"".join(b"\0" + rgb[row * stride : (row + 1) * stride] for row in range(height))
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *_TRUECOLOUR_8_BIT)),
            _chunk(b"IDAT", zlib.compress(rows, level=1)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
