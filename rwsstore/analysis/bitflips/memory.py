"""What lies in memory where bits flip, and what a flip does to a model's weights."""

__all__ = ["Change", "Memory", "StoredArray", "changed", "flat_copy", "layers_of", "tensor_of"]

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.analysis.bitflips.formats import NumberFormat
from rwsstore.errors import ConfigError
from rwsstore.models import ordered_layers, scratch_copy


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
class Change:
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
    def change(self, array: int, index: int, bit: int) -> Change:
        """Say what a flip does.

        Args:
            array: position in `arrays`.
            index: of the number, in 0 … count − 1.
            bit: its position, in 0 … bits − 1.
        """


@contextmanager
def changed(model: nn.Module, change: Change) -> Iterator[None]:
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
