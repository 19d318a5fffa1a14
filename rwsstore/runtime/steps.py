"""How each kind of layer and operation is written down in a program (TorchScript)."""

__all__ = ["Take", "UnknownStepError", "operation", "tensors_of", "text_of", "write_layer"]

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from rwsstore.errors import RwsError
from rwsstore.runtime.packing import Lowered, PackedConv2d

Take = Callable[[Tensor], str]
"""Takes note of a tensor that a step reads, and says how the program calls it."""

_Write = Callable[[Any, str, Take], str]
_SIDES = 2  # height and width


class UnknownStepError(RwsError):
    """A step that no program can be written for."""


def write_layer(layer: nn.Module, x: str, take: Take) -> str:
    """Write down what a layer computes of a value; tensors are taken in the same order always.

    Raises:
        UnknownStepError: of another kind than those known here, or with options that are not.
    """
    write = _LAYERS.get(type(layer))
    if write is None:
        raise UnknownStepError(f"no step is known for {type(layer).__name__}")
    return write(layer, x, take)


def tensors_of(layer: nn.Module) -> list[Tensor]:
    """What the step of a layer reads, in its order."""
    found: list[Tensor] = []

    def take(tensor: Tensor) -> str:
        found.append(tensor)
        return ""

    write_layer(layer, "", take)
    return found


def operation(node: fx.Node) -> str:
    """Write down an operation that reads no tensor of the model.

    Raises:
        UnknownStepError: another than those known here.
    """
    known = _METHODS if node.op == "call_method" else _FUNCTIONS
    write = known.get(node.target)
    if write is None or node.op not in ("call_method", "call_function"):
        raise UnknownStepError(f"no step is known for {node.target}")
    return write(*map(text_of, node.args), *(f"{k}={text_of(v)}" for k, v in node.kwargs.items()))


def text_of(value: object) -> str:
    """Write down a value, a number, or a list of these.

    Raises:
        UnknownStepError: it is something else.
    """
    if isinstance(value, fx.Node):
        return value.name
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if value is None or isinstance(value, bool | int):
        return repr(value)
    raise UnknownStepError(f"no step is known with {value!r}")


def _call(name: str, *inputs: object) -> str:
    return f"torch.ops.{name}({', '.join(map(str, inputs))})"


def _packed(layer: PackedConv2d, x: str, take: Take) -> str:
    weight, bias = take(layer.packed), _maybe(layer.bias, take)
    return _call(
        "mkldnn._convolution_pointwise", _like(x, take(layer.like)), weight, bias,
        layer.padding, layer.stride, layer.dilation, layer.groups,
        '"none"', "[]", '""',
    )  # fmt: skip


def _lowered(layer: Lowered, x: str, take: Take) -> str:
    return write_layer(layer.layer, _like(x, take(layer.like)), take)


def _convolution(layer: nn.Conv2d, x: str, take: Take) -> str:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnknownStepError(f"no step is known for the padding of {layer}")
    weight, bias = take(layer.weight), _maybe(layer.bias, take)
    sides = map(list, (layer.stride, layer.padding, layer.dilation))
    return _call("aten.conv2d", x, weight, bias, *sides, layer.groups)


def _linear(layer: nn.Linear, x: str, take: Take) -> str:
    return _call("aten.linear", x, take(layer.weight), _maybe(layer.bias, take))


def _normalization(layer: nn.BatchNorm2d, x: str, take: Take) -> str:
    mean, variance = layer.running_mean, layer.running_var
    if layer.training or mean is None or variance is None:
        raise UnknownStepError(f"no step is known for {layer} with statistics of the batch")
    affine = [_maybe(layer.weight, take), _maybe(layer.bias, take)]
    return _call(
        "aten.batch_norm", x, *affine, take(mean), take(variance), False, 0.0, layer.eps,
        torch.backends.cudnn.enabled,
    )  # fmt: skip


def _relu(_layer: nn.ReLU, x: str, _take: Take) -> str:
    return _call("aten.relu", x)


def _max_pool(layer: nn.MaxPool2d, x: str, _take: Take) -> str:
    if layer.return_indices:
        raise UnknownStepError(f"no step is known for {layer} with indices")
    sides = map(_pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
    return _call("aten.max_pool2d", x, *sides, layer.ceil_mode)


def _average_pool(layer: nn.AvgPool2d, x: str, _take: Take) -> str:
    sides = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
    options = layer.ceil_mode, layer.count_include_pad, layer.divisor_override
    return _call("aten.avg_pool2d", x, *sides, *options)


def _average_all(layer: nn.AdaptiveAvgPool2d, x: str, _take: Take) -> str:
    return _call("aten.adaptive_avg_pool2d", x, _pair(layer.output_size))


def _flatten(layer: nn.Flatten, x: str, _take: Take) -> str:
    return _call("aten.flatten", x, layer.start_dim, layer.end_dim)


def _like(x: str, other: str) -> str:
    """In another tensor's dtype; nothing is done where it has it."""
    return _call("aten.type_as", x, other)


def _maybe(tensor: Tensor | None, take: Take) -> str:
    return "None" if tensor is None else take(tensor)


def _pair(sides: object) -> list[int]:
    found = sides if isinstance(sides, list | tuple) else [sides] * _SIDES
    numbers = [side for side in found if isinstance(side, int)]
    if len(numbers) != _SIDES:
        raise UnknownStepError(f"no step is known with sides of {sides}")
    return numbers


def _sum(*terms: str) -> str:
    if len(terms) != 2:
        raise UnknownStepError(f"no step is known for a sum of {terms}")
    return f"({' + '.join(terms)})"


def _named(name: str) -> Callable[..., str]:
    return lambda *inputs: f"torch.{name}({', '.join(inputs)})"


_LAYERS: Mapping[type, _Write] = {
    PackedConv2d: _packed,
    Lowered: _lowered,
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.BatchNorm2d: _normalization,
    nn.ReLU: _relu,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _average_all,
    nn.Flatten: _flatten,
}

_FUNCTIONS: Mapping[object, Callable[..., str]] = {
    operator.add: _sum,
    torch.add: _sum,
    torch.relu: _named("relu"),
    F.relu: lambda x, *_inplace: f"torch.relu({x})",
    torch.flatten: _named("flatten"),
    torch.cat: _named("cat"),
}

_METHODS: Mapping[object, Callable[..., str]] = {
    "relu": _named("relu"),
    "flatten": _named("flatten"),
}
