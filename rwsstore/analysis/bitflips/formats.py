"""Stored numbers and their bits: what a number becomes when one of its bits flips.

Bits count from 0, the least significant one. A floating-point number is the bits of IEEE 754
(bfloat16: the upper half of a float32), a code of a quantized tensor two's complement of its own
width, as `rwsstore.patches.quantization` stores it.
"""

__all__ = ["FORMATS", "NumberFormat", "chosen_bits", "flip", "from_bits", "to_bits"]

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from rwsstore.errors import ConfigError, TensorError, UnknownNameError

_SAME_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32}


@dataclass(frozen=True)
class NumberFormat:
    """How one number lies in memory.

    Attributes:
        name: float32, float16, bfloat16, or intN for codes of N bits.
        bits: its width.
        dtype: of tensors that hold such numbers.
        exponent: positions of the exponent's bits, lowest first; empty for integers.
    """

    name: str
    bits: int
    dtype: torch.dtype
    exponent: range = range(0)


def _codes(bits: int) -> NumberFormat:
    return NumberFormat(f"int{bits}", bits, torch.int16 if bits == 16 else torch.int8)


FORMATS: Mapping[str, NumberFormat] = MappingProxyType(
    {
        row.name: row
        for row in (
            NumberFormat("float32", 32, torch.float32, range(23, 31)),
            NumberFormat("float16", 16, torch.float16, range(10, 15)),
            NumberFormat("bfloat16", 16, torch.bfloat16, range(7, 15)),
            *map(_codes, (16, 8, 4, 3, 2)),
        )
    }
)
"""Every format that weights or patches are stored in, by name."""


def to_bits(values: Tensor, form: NumberFormat) -> Tensor:
    """Read numbers as their bits.

    Args:
        values: of the format's dtype, any shape, any value: NaNs keep their bits.
        form: one of `FORMATS`.

    Returns:
        int64 of the same shape, each in 0 … 2^bits − 1.

    Raises:
        TensorError: another dtype, or a code that has no place in that many bits.
    """
    if values.dtype != form.dtype:
        raise TensorError(f"numbers are {values.dtype}; {form.name} is kept in {form.dtype}")
    words = values.contiguous().view(_SAME_SIZE[values.element_size()]).long()
    if not form.exponent:
        half = 1 << (form.bits - 1)
        if words.numel() and not -half <= int(words.min()) <= int(words.max()) < half:
            raise TensorError(f"a code is outside {-half}…{half - 1}, the range of {form.name}")
    return words & ((1 << form.bits) - 1)


def from_bits(bits: Tensor, form: NumberFormat) -> Tensor:
    """Make numbers of their bits; the inverse of `to_bits`.

    Args:
        bits: int64, each in 0 … 2^bits − 1.
        form: one of `FORMATS`.

    Returns:
        A tensor of the format's dtype and the same shape.

    Raises:
        TensorError: another dtype, or a number that has more bits.
    """
    if bits.dtype != torch.int64:
        raise TensorError(f"bits are {bits.dtype}; expected int64")
    if bits.numel() and not 0 <= int(bits.min()) <= int(bits.max()) < 1 << form.bits:
        raise TensorError(f"bits are outside 0…2^{form.bits} − 1, what {form.name} holds")
    sign = 1 << (form.bits - 1)
    words = (bits ^ sign) - sign  # extends the sign
    return words.to(_SAME_SIZE[form.dtype.itemsize]).view(form.dtype)


def flip(values: Tensor, bit: int | Tensor, form: NumberFormat) -> Tensor:
    """Flip one bit of each number; flipping it again gives the number back, to the bit.

    Args:
        values: of the format's dtype, any shape.
        bit: position in 0 … bits − 1, or int64 positions that broadcast to the numbers' shape.
        form: one of `FORMATS`.

    Returns:
        New numbers, of the same dtype: any value, infinities, NaN and the code −2^(bits−1) too.

    Raises:
        ConfigError: a position that the format does not have.
        TensorError: as for `to_bits`.
    """
    positions = torch.as_tensor(bit, dtype=torch.int64)
    _check_positions(positions, form)
    return from_bits(to_bits(values, form) ^ (1 << positions), form)


def chosen_bits(choice: str, form: NumberFormat) -> tuple[int, ...]:
    """Read which bits of a format are meant.

    Args:
        choice: `all`, `exponent`, `top` (the exponent's highest bit; of integers the sign), or
            positions: `30,29`.
        form: one of `FORMATS`.

    Returns:
        Positions, rising; of those that were named, the ones that the format has. Integers have
        no exponent.

    Raises:
        ConfigError: a position is named twice.
        UnknownNameError: neither a word nor positions.
    """
    if choice == "all":
        return tuple(range(form.bits))
    if choice == "exponent":
        return tuple(form.exponent)
    if choice == "top":
        return (form.exponent[-1] if form.exponent else form.bits - 1,)
    parts = [part.strip() for part in choice.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise UnknownNameError("choice of bits", choice, ("all", "exponent", "top", "30,29"))
    positions = sorted(int(part) for part in parts)
    if len(set(positions)) != len(positions):
        raise ConfigError(f"bits {choice!r} name one twice")
    return tuple(position for position in positions if position < form.bits)


def _check_positions(positions: Tensor, form: NumberFormat) -> None:
    if positions.numel() and not 0 <= int(positions.min()) <= int(positions.max()) < form.bits:
        raise ConfigError(
            f"bit {int(positions.min() if positions.min() < 0 else positions.max())}: {form.name} "
            f"has the bits 0 to {form.bits - 1}"
        )
