"""A part of a forward pass as one call: how each step is written down in a program without Python.

Between two operations Python holds the interpreter's lock and asks for it again after each. In a
process with other busy threads every such moment is a wait, and in a small network the moments
between take as long as the operations. A program is called once and does the rest by itself.

Not every operation is known to it. Where one is not, the part stays a function in Python.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from rwsstore.models.graph import (
    UnknownOperationError,
    is_hooked,
    operation_of,
    operation_of_module,
    unknown,
)
from rwsstore.runtime.conversion import Lowered, PrepackedConv2d, has_plain_padding

Take = Callable[[Tensor], str]
"""Takes note of a tensor that a step reads, and says how the program calls it."""

_SIDES = 2  # height and width


def write_layer(layer: nn.Module, x: str, take: Take) -> str:
    """Write down what a layer computes of a value; tensors are taken in the same order always.

    Of another layer than those known here an UnknownOperationError says so.
    """
    if type(layer) is PrepackedConv2d:
        weight, bias = take(layer.packed), _maybe(layer.bias, take)
        return _call(
            "mkldnn._convolution_pointwise", _like(x, take(layer.like)), weight, bias,
            layer.padding, layer.stride, layer.dilation, layer.groups,
            '"none"', "[]", '""',
        )  # fmt: skip
    if type(layer) is Lowered:
        return write_layer(layer.layer, _like(x, take(layer.like)), take)
    row = operation_of_module(layer)
    if row is None or row.text not in _ARGUMENTS:
        raise UnknownOperationError(type(layer).__name__)
    return _call(f"aten.{row.text}", x, *_ARGUMENTS[row.text](layer, take))


def tensors_of(layer: nn.Module) -> list[Tensor]:
    """What the step of a layer reads, in its order."""
    found: list[Tensor] = []

    def take(tensor: Tensor) -> str:
        found.append(tensor)
        return ""

    write_layer(layer, "", take)
    return found


def text_of(value: object) -> str:
    """Write down a value, a number, or a list of these; UnknownOperationError for another thing."""
    if isinstance(value, fx.Node):
        return value.name
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if value is None or isinstance(value, bool | int):
        return repr(value)
    raise UnknownOperationError(f"with {value!r}")


def _call(name: str, *inputs: object) -> str:
    return f"torch.ops.{name}({', '.join(map(str, inputs))})"


def _convolution(layer: nn.Conv2d, take: Take) -> Sequence[object]:
    if not has_plain_padding(layer):
        raise UnknownOperationError(f"{layer} with its padding")
    weight, bias = _linear(layer, take)
    return weight, bias, *map(list, (layer.stride, layer.padding, layer.dilation)), layer.groups


def _linear(layer: nn.Conv2d | nn.Linear, take: Take) -> Sequence[object]:
    return take(layer.weight), _maybe(layer.bias, take)


def _normalization(layer: nn.BatchNorm2d, take: Take) -> Sequence[object]:
    mean, variance = layer.running_mean, layer.running_var
    if layer.training or mean is None or variance is None:
        raise UnknownOperationError(f"{layer} with statistics of the batch")
    affine = [_maybe(layer.weight, take), _maybe(layer.bias, take)]
    statistics = [take(mean), take(variance)]
    return *affine, *statistics, False, 0.0, layer.eps, torch.backends.cudnn.enabled


def _max_pool(layer: nn.MaxPool2d, _take: Take) -> Sequence[object]:
    if layer.return_indices:
        raise UnknownOperationError(f"{layer} with indices")
    sides = map(_pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
    return *sides, layer.ceil_mode


def _average_pool(layer: nn.AvgPool2d, _take: Take) -> Sequence[object]:
    sides = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
    return *sides, layer.ceil_mode, layer.count_include_pad, layer.divisor_override


def _like(x: str, other: str) -> str:
    """In another tensor's dtype; nothing is done where it has it."""
    return _call("aten.type_as", x, other)


def _maybe(tensor: Tensor | None, take: Take) -> str:
    return "None" if tensor is None else take(tensor)


def _pair(sides: object) -> list[int]:
    found = sides if isinstance(sides, list | tuple) else [sides] * _SIDES
    numbers = [side for side in found if isinstance(side, int)]
    if len(numbers) != _SIDES:
        raise UnknownOperationError(f"sides of {sides}")
    return numbers


def _sum(*terms: str) -> str:
    if len(terms) != 2:
        raise UnknownOperationError(f"sum of {terms}")
    return f"({' + '.join(terms)})"


_ARGUMENTS: Mapping[str, Callable[[Any, Take], Sequence[object]]] = {
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _normalization,
    "relu": lambda _layer, _take: (),
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "adaptive_avg_pool2d": lambda layer, _take: (_pair(layer.output_size),),
    "flatten": lambda layer, _take: (layer.start_dim, layer.end_dim),
}
"""What a layer's operation takes besides its input, by the word in the operation's row."""

_CALLS: Mapping[str, Callable[..., str]] = {
    "add": _sum,
    "relu": lambda x, *_in_place: f"torch.relu({x})",
    "flatten": lambda *inputs: f"torch.flatten({', '.join(inputs)})",
    "cat": lambda *inputs: f"torch.cat({', '.join(inputs)})",
}
"""The same operations, and others, as functions or methods."""


Parts = tuple[Sequence[nn.Module], Sequence[int]]
"""Layers of different variants, and how many of the rows are each one's, in their order."""


def apply_each(parts: Parts, x: Tensor) -> Tensor:
    """Each layer on its rows, in few operations: at each, other threads are let in."""
    layers, sizes = parts
    if len(layers) == 1:
        only: Tensor = layers[0](x)
        return only
    rows = x.split_with_sizes(list(sizes))
    return torch.cat([layer(own) for layer, own in zip(layers, rows, strict=True)])


class Program:
    """A part of a forward pass; called like the function in Python whose place it takes.

    Safe to call from any thread.

    Args:
        run: the compiled part: of the module's tensors, the tensors of each layer that comes in
            parts, the sizes of these parts, and what the part is given.
        layers: names of the modules whose tensors it reads, in its order.
        apart: how many layers come in parts, as the first inputs; all in parts of the same sizes.
    """

    def __init__(self, run: Callable[..., Any], layers: Sequence[str], apart: int) -> None:
        self._run, self._layers, self._apart = run, tuple(layers), apart
        self._known: WeakKeyDictionary[nn.Module, list[Tensor]] = WeakKeyDictionary()

    def __call__(self, module: nn.Module, *inputs: Any) -> Any:
        """Run on a module of the structure that it was compiled for: parts first, then tensors."""
        apart: Sequence[Parts] = inputs[: self._apart]
        sizes = list(apart[0][1]) if apart else []
        own = [list(chain.from_iterable(map(self._of_layer, layers))) for layers, _ in apart]
        return self._run(self._of(module), own, sizes, *inputs[self._apart :])

    def _of(self, module: nn.Module) -> list[Tensor]:
        known = self._known.get(module)
        if known is None:
            layers = map(module.get_submodule, self._layers)
            known = self._known[module] = list(chain.from_iterable(map(tensors_of, layers)))
        return known

    def _of_layer(self, layer: nn.Module) -> list[Tensor]:
        known = self._known.get(layer)
        if known is None:
            known = self._known[layer] = tensors_of(layer)
        return known


def program_of(graph: fx.Graph, module: nn.Module, apart: Sequence[str] = ()) -> Program | None:
    """Compile a part.

    Args:
        graph: its operations.
        module: that it will be run on, or one of the same structure.
        apart: names of layers that come in parts: the first placeholders, each read by
            `apply_each` alone.

    Returns:
        None where it holds an operation that no program can be written for.
    """
    try:
        writer = _Writer(graph, module, apart)
        unit = torch.jit.CompilationUnit(writer.source)
    except (UnknownOperationError, RuntimeError):  # the second: this torch has not all of it
        return None
    return Program(cast("Callable[..., Any]", unit.part), writer.layers, len(apart))


class _Writer:
    """Writes the program of a graph, step by step.

    Attributes:
        source: the program.
        layers: names of the modules whose tensors it reads, in its order.
    """

    def __init__(self, graph: fx.Graph, module: nn.Module, apart: Sequence[str]) -> None:
        self._module = module
        self._tensors = 0
        self.layers: list[str] = []
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        self._apart = {
            node: (place, module.get_submodule(name))
            for place, (node, name) in enumerate(zip(inputs, apart, strict=False))
        }
        lines = chain.from_iterable(map(self._step, graph.nodes))
        takes = ["own: List[Tensor]", "apart: List[List[Tensor]]", "sizes: List[int]"]
        takes += [f"{node.name}: Tensor" for node in inputs[len(apart) :]]
        body = "".join(f"\n    {line}" for line in lines)
        self.source = f"def part({', '.join(takes)}):{body}\n"

    def _step(self, node: fx.Node) -> Iterator[str]:
        if node.op == "placeholder":
            return
        if node.op == "output":
            value = node.args[0]
            if isinstance(value, tuple):
                yield f"return ({''.join(f'{text_of(one)}, ' for one in value)})"
            else:
                yield f"return {text_of(value)}"
        elif node.target is apply_each:
            yield from self._in_parts(node)
        elif node.op == "call_module":
            layer = self._module.get_submodule(str(node.target))
            if len(node.args) != 1 or node.kwargs or is_hooked(layer):
                raise unknown(node, layer)
            self.layers.append(str(node.target))
            yield f"{node.name} = {write_layer(layer, text_of(node.args[0]), self._own)}"
        else:
            row = operation_of(node)
            if row is None or row.text not in _CALLS:
                raise unknown(node)
            options = (f"{name}={text_of(value)}" for name, value in node.kwargs.items())
            yield f"{node.name} = {_CALLS[row.text](*map(text_of, node.args), *options)}"

    def _own(self, _tensor: Tensor) -> str:
        self._tensors += 1
        return f"own[{self._tensors - 1}]"

    def _in_parts(self, node: fx.Node) -> Iterator[str]:
        """Split the rows, run each layer on its own, put them together again."""
        place, layer = self._apart[cast("fx.Node", node.args[0])]
        if is_hooked(layer):
            raise unknown(node, layer)
        each = len(tensors_of(layer))
        numbers = iter(range(each))
        written = write_layer(
            layer, f"rows_{place}[i]", lambda _: f"apart[{place}][i * {each} + {next(numbers)}]"
        )
        yield f"rows_{place} = {text_of(node.args[1])}.split_with_sizes(sizes)"
        yield f"parts_{place} = torch.jit.annotate(List[Tensor], [])"
        yield "for i in range(len(sizes)):"
        yield f"    parts_{place}.append({written})"
        yield f"{node.name} = parts_{place}[0] if len(sizes) == 1 else torch.cat(parts_{place})"
