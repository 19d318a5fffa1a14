"""A model's forward pass as a list of steps, of which only the needed ones are run."""

__all__ = ["Steps"]

import copy
import operator
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from torch import fx, nn

from rwsstore.errors import ConfigError
from rwsstore.models.graph import trace

_IN_PLACE = frozenset(
    getattr(operator, f"i{name}") for name in ("add", "sub", "mul", "truediv", "matmul", "pow")
)


class Steps:
    """The traced forward pass of a model in evaluation mode.

    Parameters are read when a step is run, so a changed one has its effect.

    Args:
        model: a copy to work on.

    Raises:
        ConfigError: it cannot be traced.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.nodes: tuple[fx.Node, ...] = tuple(trace(model).nodes)
        if any(node.op == "placeholder" and not node.args for node in self.nodes[1:]):
            raise ConfigError(f"{type(model).__name__} takes more than images")
        self.modules: dict[fx.Node, nn.Module] = {
            node: model.get_submodule(str(node.target))
            for node in self.nodes
            if node.op == "call_module"
        }
        for node in self.nodes:
            if self._in_place(node):
                self._see_through(node)

    @property
    def images(self) -> fx.Node:
        """The step that stands for the images: the first argument."""
        return self.nodes[0]

    @property
    def output(self) -> fx.Node:
        """The last step: the logits."""
        return self.nodes[-1]

    def readers(self, tensor: str) -> tuple[fx.Node, ...]:
        """The steps that read a parameter or buffer, by itself or in a module."""
        wanted = _attribute(self.model, tensor)
        return tuple(
            node for node in self.nodes if any(found is wanted for found in self._tensors(node))
        )

    def after(self, starts: Collection[fx.Node]) -> tuple[fx.Node, ...]:
        """These steps and all that depend on them, in order."""
        found = set(starts)
        for node in self.nodes:
            if any(source in found for source in node.all_input_nodes):
                found.add(node)
        return tuple(node for node in self.nodes if node in found)

    def before(self, ends: Collection[fx.Node]) -> tuple[fx.Node, ...]:
        """These steps and all that they depend on, in order."""
        found = set(ends)
        for node in reversed(self.nodes):
            if node in found:
                found.update(node.all_input_nodes)
        return tuple(node for node in self.nodes if node in found)

    def run(
        self, nodes: Iterable[fx.Node], values: dict[fx.Node, Any], keep: Collection[fx.Node]
    ) -> None:
        """Run steps in order; a value that no later one of them needs is dropped.

        Args:
            nodes: whose inputs are in `values` or come before them.
            values: by step; none is modified, steps that work in place do it on a copy.
            keep: steps whose values stay.
        """
        queue = list(nodes)
        last = {source: node for node in queue for source in (*node.all_input_nodes, node)}
        for node in queue:
            if node not in values:
                values[node] = self._value(node, values)
            for source in {*node.all_input_nodes, node}:
                if last[source] is node and source not in keep:
                    del values[source]

    def _tensors(self, node: fx.Node) -> Iterator[Any]:
        if node in self.modules:
            yield from self.modules[node].parameters()
            yield from self.modules[node].buffers()
        elif node.op == "get_attr":
            yield _attribute(self.model, str(node.target))

    def _value(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        if node.op == "placeholder":
            return node.args[0]  # an argument besides the images: its default
        if node.op == "get_attr":
            return _attribute(self.model, str(node.target))
        if self._in_place(node):  # its input has to stay as it was: it may be kept
            first = node.all_input_nodes[0]
            values = {**values, first: copy.deepcopy(values[first])}
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "call_module":
            return self.modules[node](*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "output":
            return args[0]
        function: Any = node.target
        return function(*args, **kwargs)

    def _see_through(self, node: fx.Node) -> None:
        """Let the steps after one that works in place read its value, not the one before it."""
        first = node.all_input_nodes[0]
        for later in self.nodes[self.nodes.index(node) + 1 :]:
            later.replace_input_with(first, node)

    def _in_place(self, node: fx.Node) -> bool:
        if not node.all_input_nodes:
            return False
        name = (
            str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
        )
        return (
            node.target in _IN_PLACE
            or (name.endswith("_") and not name.endswith("__"))
            or bool(node.kwargs.get("inplace"))
            or bool(getattr(self.modules.get(node), "inplace", False))
        )


def _attribute(model: nn.Module, path: str) -> Any:
    found: Any = model
    for name in path.split("."):
        found = getattr(found, name)
    return found
