"""Images that would cost more to decode than they are worth."""

import struct
import zlib


def huge_png() -> bytes:
    """One colour, 13 300 x 13 300 pixels, in a few kilobytes."""
    side = 13_300
    packed = zlib.compressobj(9)
    row = bytes(1 + side // 8 + (side % 8 > 0))
    data = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
