"""Linear symmetric quantization, one scale an output channel.

A delta of two dimensions and more becomes integer codes q in ±(2^(b−1) − 1) and a float32 scale
s for each index of its first dimension, so that q·s approximates it to within s/2. Tensors of one
dimension, biases and affine terms, stay float32: they are few and every bit of them counts.
"""

__all__ = [
    "BIT_WIDTHS",
    "SMALLEST_SCALE",
    "Payload",
    "QuantizedTensor",
    "RawTensor",
    "all_finite",
    "check_bits",
    "check_fewer",
    "quantize",
    "requantize",
]

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.errors import ConfigError, TensorError
from rwsstore.patches.packing import packed_size

BIT_WIDTHS = (32, 16, 8, 4, 3, 2)
"""Bits a weight; 32 is the float32 delta itself."""

SMALLEST_SCALE: float = torch.finfo(torch.float32).tiny
"""The smallest scale besides 0: the smallest normal float32, 2^−126."""


def all_finite(values: Tensor) -> bool:
    """Whether a real tensor holds neither NaN nor an infinity."""
    if values.numel() == 0:
        return True
    # Smallest and largest are NaN if anything is; a tenth of the time of isfinite().all().
    return all(math.isfinite(float(value)) for value in torch.aminmax(values))


def check_bits(bits: int) -> int:
    """Return `bits` if it is one of `BIT_WIDTHS`.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(bits, int) or bits not in BIT_WIDTHS:
        raise ConfigError(f"bits is {bits!r}; expected one of {', '.join(map(str, BIT_WIDTHS))}")
    return bits


def check_fewer(bits: int, stored: int) -> None:
    """Refuse to make more bits of what is stored.

    Raises:
        ConfigError: `bits` is more than `stored`.
    """
    if bits > stored:
        raise ConfigError(
            f"{bits} bits asked of a patch stored at {stored}: ask for {stored} or fewer, or "
            "extract the patch anew"
        )


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A delta kept as float32.

    Attributes:
        values: float32, any shape, finite.
    """

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
    return _quantize_channels(single.double(), bits)


def _quantize_channels(delta: Tensor, bits: int) -> QuantizedTensor:
    largest_code = (1 << (bits - 1)) - 1
    rows = delta.reshape(delta.shape[0], -1)
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
    check_bits(bits)
    if isinstance(payload, RawTensor) and (len(payload.shape) < 2 or bits == 32):
        return payload
    if bits == payload.bits:
        return payload
    check_fewer(bits, payload.bits)
    return quantize(payload.delta(1.0), bits)
