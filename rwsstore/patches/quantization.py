"""Linear symmetric quantization, one scale an output channel; codes packed into bytes.

A delta of two dimensions and more becomes integer codes q in ±(2^(b−1) − 1) and a float32 scale
s for each index of its first dimension, so that q·s approximates it to within s/2. Tensors of one
dimension, biases and affine terms, stay float32: they are few and every bit of them counts.

Packed codes are two's complement, least significant bit first, one code after the other without
gaps; the tail of the last byte is zero.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rwsstore.errors import ConfigError, FormatError, TensorError
from rwsstore.patches.metadata import BIT_WIDTHS

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


SMALLEST_SCALE: float = torch.finfo(torch.float32).tiny
"""The smallest scale besides 0: the smallest normal float32, 2^−126."""


def all_finite(values: Tensor) -> bool:
    """Whether a real tensor holds neither NaN nor an infinity."""
    if values.numel() == 0:
        return True
    # Smallest and largest are NaN if anything is; a tenth of the time of isfinite().all().
    return all(math.isfinite(float(value)) for value in torch.aminmax(values))


def check_bits(bits: int, stored: int | None = None) -> None:
    """Refuse what is not one of `BIT_WIDTHS`, or more bits than are stored.

    Raises:
        ConfigError: it is so.
    """
    if not isinstance(bits, int) or bits not in BIT_WIDTHS:
        raise ConfigError(f"bits is {bits!r}; expected one of {', '.join(map(str, BIT_WIDTHS))}")
    if stored is not None and bits > stored:
        raise ConfigError(
            f"{bits} bits asked of a patch stored at {stored}: ask for {stored} or fewer, or "
            "extract the patch anew"
        )


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A delta kept as float32, of any shape and finite."""

    values: Tensor

    bits = 32

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights that it belongs to."""
        return tuple(self.values.shape)

    @property
    def payload_bytes(self) -> int:
        """Bytes that its numbers take in a file."""
        return 4 * self.values.numel()

    @property
    def memory_bytes(self) -> int:
        """Bytes that its numbers take in memory."""
        return self.values.nbytes

    def delta(self, alpha: float) -> Tensor:
        """fl32(v · fl32(α)), float32, freshly allocated."""
        return self.values * torch.tensor(alpha, dtype=torch.float64).float()


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A delta as integer codes with one scale an output channel.

    Attributes:
        codes: int8 (int16 for 16 bits), shaped as the weights.
        scale: float32 [C], C the weights' first dimension; 0 means a channel of zeros.
        bits: bits a code.
    """

    codes: Tensor
    scale: Tensor
    bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights that it belongs to."""
        return tuple(self.codes.shape)

    @property
    def payload_bytes(self) -> int:
        """Bytes that its codes and scales take in a file."""
        return packed_size(self.codes.numel(), self.bits) + 4 * self.scale.numel()

    @property
    def memory_bytes(self) -> int:
        """Bytes that its codes and scales take in memory."""
        return self.codes.nbytes + self.scale.nbytes

    def delta(self, alpha: float) -> Tensor:
        """fl32(q · s′) with s′ = fl32(fl64(α·s)), float32, freshly allocated."""
        scale = (self.scale.double() * alpha).float()
        return self.codes.float().mul_(scale.view(-1, *[1] * (self.codes.dim() - 1)))


Payload = RawTensor | QuantizedTensor


def quantize(delta: Tensor, bits: int) -> Payload:
    """Quantize one delta, after rounding it to float32.

    Args:
        delta: float32 or float64, any shape.
        bits: one of `BIT_WIDTHS`.

    Raises:
        TensorError: the delta is empty, or holds NaN, an infinity, or numbers beyond float32.
        ConfigError: `bits` is not one of `BIT_WIDTHS`.
    """
    check_bits(bits)
    if delta.numel() == 0:
        raise TensorError("the delta is empty")
    single = delta.detach().cpu().float()
    if not all_finite(single):
        raise TensorError("the delta holds NaN, infinity or numbers beyond float32")
    if bits == 32 or delta.dim() < 2:
        return RawTensor(single.clone(memory_format=torch.contiguous_format))
    largest_code = (1 << (bits - 1)) - 1
    rows = single.double().reshape(len(single), -1)
    scale = (rows.abs().amax(dim=1) / largest_code).float()
    # A channel that small would need a subnormal scale, which some processors flush to zero.
    scale[scale < SMALLEST_SCALE] = 0.0
    divisor = torch.where(scale > 0, scale.double(), torch.inf)
    # torch.round is half to even, as the format wants it.
    codes = (rows / divisor[:, None]).round().clamp(-largest_code, largest_code)
    dtype = torch.int16 if bits == 16 else torch.int8
    return QuantizedTensor(codes.to(dtype).reshape(delta.shape), scale, bits)


def requantize(payload: Payload, bits: int) -> Payload:
    """Quantize again, to fewer bits; what has `bits` already, or one dimension, comes back as is.

    Raises:
        ConfigError: `bits` is more than what is stored, or not one of `BIT_WIDTHS`.
        TensorError: the stored delta overflows float32.
    """
    check_bits(bits, payload.bits)
    if bits == payload.bits or len(payload.shape) < 2:
        return payload
    return quantize(payload.delta(1.0), bits)
