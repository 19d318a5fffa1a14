"""Codes of 2 to 16 bits, packed into bytes.

Two's complement, least significant bit first, one code after the other without gaps; the tail of
the last byte is zero.
"""

__all__ = ["pack", "packed_size", "unpack"]

import numpy as np
import numpy.typing as npt

from rwsstore.errors import FormatError


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: npt.NDArray[np.int16], bits: int) -> npt.NDArray[np.uint8]:
    """Pack integer codes.

    Args:
        codes: int16, any shape, each within ±(2^(bits−1) − 1).
        bits: 2 to 16.

    Returns:
        uint8, of `packed_size(codes.size, bits)` bytes.
    """
    flat = codes.reshape(-1)
    if bits == 8:
        return flat.astype(np.int8).view(np.uint8)
    if bits == 16:
        return flat.astype("<i2").view(np.uint8)
    single = (flat[:, None] >> np.arange(bits, dtype=np.int16)) & 1
    return np.packbits(single.astype(np.uint8), bitorder="little")


def unpack(packed: npt.NDArray[np.uint8], count: int, bits: int) -> npt.NDArray[np.int16]:
    """Read `count` codes back; the inverse of `pack`.

    Raises:
        FormatError: the wrong number of bytes, a tail that is not zero, or the one code,
            −2^(bits−1), that no symmetric quantization makes.
    """
    expected = packed_size(count, bits)
    if packed.size != expected:
        raise FormatError(
            f"{packed.size} bytes of codes, where {count} of {bits} bits take {expected}"
        )
    codes = _widen(packed, count, bits)
    lowest = -(1 << (bits - 1))
    if count and int(codes.min()) == lowest:
        raise FormatError(f"code {lowest} is out of the range ±{-lowest - 1} of {bits} bits")
    return codes


def _widen(packed: npt.NDArray[np.uint8], count: int, bits: int) -> npt.NDArray[np.int16]:
    if bits == 8:
        return packed.view(np.int8).astype(np.int16)
    if bits == 16:
        return packed.view("<i2").astype(np.int16)
    single = np.unpackbits(packed, bitorder="little")
    if single[count * bits :].any():
        raise FormatError("the padding after the last code is not zero")
    digits = single[: count * bits].reshape(count, bits).astype(np.int16)
    weights = (1 << np.arange(bits)).astype(np.int16)
    weights[-1] = -weights[-1]
    codes: npt.NDArray[np.int16] = digits @ weights
    return codes
