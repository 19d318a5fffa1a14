"""Codes of 2 to 16 bits, packed into bytes.

Two's complement, least significant bit first, one code after the other without gaps; the tail of
the last byte is zero.
"""

__all__ = ["Codes", "pack", "packed_size", "unpack"]

import numpy as np
import numpy.typing as npt

from rwsstore.errors import FormatError, TensorError

Codes = npt.NDArray[np.int8] | npt.NDArray[np.int16]
"""int8; int16 for 16 bits."""


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: Codes, bits: int) -> npt.NDArray[np.uint8]:
    """Pack integer codes.

    Args:
        codes: int8 or int16, any shape, each within ±(2^(bits−1) − 1).
        bits: 2 to 8, or 16.

    Returns:
        uint8, of `packed_size(codes.size, bits)` bytes.

    Raises:
        TensorError: a code is out of its range.
    """
    flat = codes.reshape(-1)
    largest = (1 << (bits - 1)) - 1
    if flat.size and not -largest <= int(flat.min()) <= int(flat.max()) <= largest:
        raise TensorError(f"a code is out of the range ±{largest} of {bits} bits")
    if bits == 16:
        return flat.astype("<i2").view(np.uint8)
    single = flat.astype(np.int8).view(np.uint8)
    if bits == 8:
        return single
    # The low bits of two's complement are the same at every width.
    planes = (single[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(planes, bitorder="little")


def unpack(packed: npt.NDArray[np.uint8], count: int, bits: int) -> Codes:
    """Read `count` codes back; the inverse of `pack`.

    Returns:
        int8, or int16 for 16 bits; of 8 and 16 bits a view of `packed` where the machine's byte
        order allows it.

    Raises:
        FormatError: the wrong number of bytes, or a tail that is not zero.
        TensorError: the one code, −2^(bits−1), that no symmetric quantization makes.
    """
    expected = packed_size(count, bits)
    if packed.size != expected:
        raise FormatError(
            f"{packed.size} bytes of codes, where {count} of {bits} bits take {expected}"
        )
    codes = _widen(packed, count, bits)
    lowest = -(1 << (bits - 1))
    if count and int(codes.min()) == lowest:
        raise TensorError(f"code {lowest} is out of the range ±{-lowest - 1} of {bits} bits")
    return codes


def _widen(packed: npt.NDArray[np.uint8], count: int, bits: int) -> Codes:
    if bits == 8:
        return packed.view(np.int8)
    if bits == 16:
        return packed.view("<i2").astype(np.int16, copy=False)
    single = np.unpackbits(packed, bitorder="little")
    if single[count * bits :].any():
        raise FormatError("the padding after the last code is not zero")
    planes = single[: count * bits].reshape(count, bits)
    codes = np.zeros(count, dtype=np.uint8)
    for bit in range(bits):
        codes |= planes[:, bit] << np.uint8(bit)
    sign = np.uint8(1 << (bits - 1))
    # Extends the sign: the subtraction wraps around, and wrapped it is the two's complement.
    return ((codes ^ sign) - sign).view(np.int8)
