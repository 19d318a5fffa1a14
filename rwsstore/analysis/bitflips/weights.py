"""A model's weights as they lie in memory."""

__all__ = ["StoredWeights"]

import torch
from torch import Tensor, nn

from rwsstore.analysis.bitflips.formats import FORMATS, flip
from rwsstore.analysis.bitflips.memory import Change, Memory, StoredArray, flat_copy, layers_of
from rwsstore.errors import ConfigError, TensorError, UnknownNameError


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
            _check_finite(name, parameter.data, form)
            self._stored.append(stored.view(-1).cpu().clone())
            arrays.append(StoredArray(name, name, layers[name], stored.numel(), chosen))
        if not arrays:
            raise ConfigError(f"{type(model).__name__} has no parameters: there is nothing to flip")
        self.arrays = tuple(arrays)

    def change(self, array: int, index: int, bit: int) -> Change:
        """Say what a flip does; it changes one weight."""
        row = self.arrays[array]
        value = flip(self._stored[array][index : index + 1], bit, row.form)
        return Change(row.parameter, index, value.float())


def _check_finite(name: str, values: Tensor, form: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise TensorError(
            f"weights of {name!r} hold numbers that are not finite as {form}: use float32 or "
            "bfloat16, or a model whose weights are finite"
        )
