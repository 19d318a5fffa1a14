"""What lies in memory where bits flip, a model's weights or a patch, and what a flip makes of it.

Bits count from 0, the least significant one. A floating-point number is the bits of IEEE 754
(bfloat16: the upper half of a float32), a code of a quantized tensor two's complement of its own
width, as `rwsstore.patches.quantization` stores it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError, UnknownNameError
from rwsstore.models import ordered_layers, scratch_copy
from rwsstore.patches import Patch, Payload, QuantizedTensor, check_fit, identify, patched_tensor

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


FORMATS: Mapping[str, NumberFormat] = MappingProxyType(
    {
        row.name: row
        for row in (
            NumberFormat("float32", 32, torch.float32, range(23, 31)),
            NumberFormat("float16", 16, torch.float16, range(10, 15)),
            NumberFormat("bfloat16", 16, torch.bfloat16, range(7, 15)),
            NumberFormat("int16", 16, torch.int16),
            *(NumberFormat(f"int{bits}", bits, torch.int8) for bits in (8, 4, 3, 2)),
        )
    }
)
"""Every format that weights or patches are stored in, by name."""


def to_bits(values: Tensor, form: NumberFormat) -> Tensor:
    """Read numbers as their bits, int64 in 0 … 2^bits − 1; NaNs keep theirs.

    Raises:
        TensorError: not the format's dtype, or a code that has no place in that many bits.
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

    Raises:
        TensorError: the bits are not int64, or a number has more than the format.
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
        values: of the format's dtype.
        bit: position in 0 … bits − 1, or int64 positions that broadcast to the numbers' shape.
        form: one of `FORMATS`.

    Returns:
        New numbers: any value, infinities, NaN and the code −2^(bits−1) too.

    Raises:
        ConfigError: a position that the format does not have.
        TensorError: as for `to_bits`.
    """
    positions = torch.as_tensor(bit, dtype=torch.int64)
    if positions.numel() and not 0 <= int(positions.min()) <= int(positions.max()) < form.bits:
        raise ConfigError(
            f"bit {int(positions.min() if positions.min() < 0 else positions.max())}: {form.name} "
            f"has the bits 0 to {form.bits - 1}"
        )
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


@dataclass(frozen=True)
class StoredArray:
    """An array of numbers in memory.

    Attributes:
        name: of a model's tensor; of a patch's, as in its file: the tensor's with .q (codes),
            .scale or .f32.
        parameter: the model's tensor that it decides about.
        layer: the layer to which that tensor belongs.
        count: numbers in it.
        form: how each is stored.
    """

    name: str
    parameter: str
    layer: str
    count: int
    form: NumberFormat


@dataclass(frozen=True, eq=False)
class Damage:
    """What a flip does to a model's weights.

    Attributes:
        parameter: name of the tensor.
        start: the first changed number, counted in the flattened tensor.
        values: float32 [k], what the k numbers from there on become; any value.
    """

    parameter: str
    start: int
    values: Tensor


class Memory(ABC):
    """Numbers in memory, and the model that computes with what they mean.

    The model that it is made of is copied and never touched.

    Attributes:
        model: a copy in evaluation mode whose parameters hold what the memory says, float32.
        arrays: everything that is stored, in a fixed order.
        format: what is stored, in words.
    """

    model: nn.Module
    arrays: tuple[StoredArray, ...]
    format: str

    @abstractmethod
    def change(self, array: int, index: int, bit: int) -> Damage:
        """Say what a flip of one bit of the number at `index` of `arrays[array]` does."""


@contextmanager
def changed(model: nn.Module, change: Damage) -> Iterator[None]:
    """Let a model compute with changed weights inside the block."""
    flat = tensor_of(model, change.parameter).view(-1)
    place = slice(change.start, change.start + len(change.values))
    kept = flat[place].clone()
    flat[place] = change.values
    try:
        yield
    finally:
        flat[place] = kept


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """The values of a parameter or buffer; who writes to them changes the model."""
    owner, _, own = name.rpartition(".")
    found: Tensor = getattr(model.get_submodule(owner), own)
    return found.data


def flat_copy(model: nn.Module) -> nn.Module:
    """Copy a model so that every weight is float32 and has a place in the flattened tensor.

    Raises:
        ConfigError: a module is in training mode, a weight is not float32, or the model cannot be
            copied.
    """
    for name, module in model.named_modules():
        if module.training:
            where = f"{type(module).__name__} {name!r}" if name else type(module).__name__
            raise ConfigError(f"{where} is in training mode: call model.eval() first")
    copy = scratch_copy(model)
    for name, parameter in copy.named_parameters():
        if parameter.dtype != torch.float32:
            raise ConfigError(f"weights of {name!r} are {parameter.dtype}; expected float32")
    for tensor in (*copy.parameters(), *copy.buffers()):
        tensor.data = tensor.data.contiguous()
    return copy


def layers_of(model: nn.Module) -> dict[str, str]:
    """The layer of each parameter; in a model that cannot be traced, the module that owns it."""
    owners = {name: name.rpartition(".")[0] or name for name, _ in model.named_parameters()}
    try:
        layers = ordered_layers(model)
    except ConfigError:
        return owners
    return owners | {name: layer.name for layer in layers for name in layer.parameters}


class StoredWeights(Memory):
    """A model's parameters in a floating-point format; buffers are not among them (own choice).

    For float16 and bfloat16 each parameter is first rounded to the format; bits flip in it, and
    the model computes in float32 with what comes out.

    Args:
        model: any module with float32 parameters.
        form: float32, float16 or bfloat16.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the model has no parameters, holds others than float32, or cannot be copied.
        TensorError: a weight is not finite, or too large for the format.
    """

    def __init__(self, model: nn.Module, form: str = "float32") -> None:
        floats = {name: row for name, row in FORMATS.items() if row.exponent}
        if form not in floats:
            raise UnknownNameError("format of weights", form, floats)
        chosen, self.format = floats[form], form
        self.model = flat_copy(model)
        layers = layers_of(self.model)
        self._stored: list[Tensor] = []
        arrays = []
        for name, parameter in self.model.named_parameters():
            stored = parameter.data.to(chosen.dtype)
            parameter.data.copy_(stored)
            if not bool(torch.isfinite(parameter.data).all()):
                raise TensorError(
                    f"weights of {name!r} hold numbers that are not finite as {form}: use float32 "
                    "or bfloat16, or a model whose weights are finite"
                )
            self._stored.append(stored.view(-1).cpu().clone())
            arrays.append(StoredArray(name, name, layers[name], stored.numel(), chosen))
        if not arrays:
            raise ConfigError(f"{type(model).__name__} has no parameters: there is nothing to flip")
        self.arrays = tuple(arrays)

    def change(self, array: int, index: int, bit: int) -> Damage:
        """Say what a flip does: it changes one weight."""
        row = self.arrays[array]
        value = flip(self._stored[array][index : index + 1], bit, row.form)
        return Damage(row.parameter, index, value.float())


class StoredPatch(Memory):
    """The codes, scales and float32 deltas of a patch; the clean weights beneath stay intact.

    A flip of a code or delta changes one weight, a flip of a scale an output channel. The weights
    are then those of `rwsstore.patches.patched_tensor`, except that they may be of any value, and a
    code may become −2^(bits−1), which no patch file holds.

    Args:
        model: the clean model.
        patch: that belongs on it, not composed.
        alpha: its strength; None: the recommended one.
        allow_transfer: accept a patch of other clean weights.

    Raises:
        ConfigError: the patch is composed, its strength out of range or 0, or the model cannot be
            copied.
        MismatchError: the patch does not belong on the model.
        TensorError: the patched weights are not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        patch: Patch,
        alpha: float | None = None,
        *,
        allow_transfer: bool = False,
    ) -> None:
        if not patch.tensors:
            raise ConfigError(f"patch {patch.name!r} is composed and stores no deltas: name a part")
        strengths = patch.metadata.alpha
        self._alpha = strengths.check(strengths.recommended if alpha is None else alpha, patch.name)
        if self._alpha == 0:
            raise ConfigError(f"patch {patch.name!r} at strength 0 does nothing, whatever flips")
        check_fit(patch, identify(model.state_dict()), allow_transfer=allow_transfer)
        self.model, self._payloads = flat_copy(model), patch.tensors
        self.format = f"patch {patch.name}, {patch.metadata.bits} bits, strength {self._alpha:g}"
        self._clean: dict[str, Tensor] = {}
        layers, arrays = layers_of(self.model), list[StoredArray]()
        for name, payload in patch.tensors.items():
            values = tensor_of(self.model, name)
            self._clean[name] = values.cpu().clone()
            values.copy_(patched_tensor(name, self._clean[name], [(payload, self._alpha)]))
            layer = layers.get(name, name.rpartition(".")[0])
            if isinstance(payload, QuantizedTensor):  # named as in a patch file
                scales = ("float32", payload.scale)
                stored = {"q": (f"int{payload.bits}", payload.codes), "scale": scales}
            else:
                stored = {"f32": ("float32", payload.values)}
            for ending, (form, numbers) in stored.items():
                whole = f"{name}.{ending}"
                arrays.append(StoredArray(whole, name, layer, numbers.numel(), FORMATS[form]))
        self.arrays = tuple(arrays)

    def change(self, array: int, index: int, bit: int) -> Damage:
        """Say what a flip does: it changes a weight, or an output channel's."""
        row = self.arrays[array]
        payload, clean = self._payloads[row.parameter], self._clean[row.parameter].view(-1)
        start = index
        if not isinstance(payload, QuantizedTensor):
            value = payload.values.reshape(-1)[index : index + 1]
            part: Payload = replace(payload, values=flip(value, bit, row.form))
        else:  # the numbers that this one decides about
            size = payload.codes.numel() // payload.scale.numel()
            of_scale = row.name.endswith(".scale")
            channel, length = (index, size) if of_scale else (index // size, 1)
            start = index * size if of_scale else index
            codes = payload.codes.reshape(-1)[start : start + length]
            scale = payload.scale[channel : channel + 1]
            if of_scale:
                scale = flip(scale, bit, row.form)
            else:
                codes = flip(codes, bit, row.form)
            part = QuantizedTensor(codes[None], scale, payload.bits)
        delta = part.delta(self._alpha).view(-1)
        return Damage(row.parameter, start, clean[start : start + len(delta)] + delta)
