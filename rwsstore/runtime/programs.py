"""A part of a forward pass as one call: a TorchScript program without Python between its steps.

Between two operations Python holds the interpreter's lock and asks for it again after each. In a
process with other busy threads every such moment is a wait, and in a small network the moments
between take as long as the operations. A program is called once and does the rest by itself.

Not every operation is known to it. Where one is not, the part stays a function in Python.
"""

__all__ = ["Parts", "Program", "apply_each", "program_of"]

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from rwsstore.runtime.steps import UnknownStepError, operation, tensors_of, text_of, write_layer

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
        """Run on a module.

        Args:
            module: of the same structure as the one that it was compiled for.
            *inputs: `Parts` for each layer apart, then tensors.
        """
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
    except (UnknownStepError, RuntimeError):  # the second: this torch has not all of it
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
            yield f"return {_result(node.args[0])}"
        elif node.target is apply_each:
            yield from self._in_parts(node)
        elif node.op == "call_module":
            yield f"{node.name} = {self._layer(node)}"
        else:
            yield f"{node.name} = {operation(node)}"

    def _layer(self, node: fx.Node) -> str:
        if len(node.args) != 1 or node.kwargs:
            raise UnknownStepError(f"no step is known for a layer with {node.args}")
        self.layers.append(str(node.target))
        layer = self._module.get_submodule(str(node.target))
        return write_layer(layer, text_of(node.args[0]), self._own)

    def _own(self, _tensor: Tensor) -> str:
        self._tensors += 1
        return f"own[{self._tensors - 1}]"

    def _in_parts(self, node: fx.Node) -> Iterator[str]:
        """Split the rows, run each layer on its own, put them together again."""
        place, layer = self._apart[cast("fx.Node", node.args[0])]
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


def _result(value: object) -> str:
    if isinstance(value, tuple):
        return f"({''.join(f'{text_of(one)}, ' for one in value)})"
    return text_of(value)
