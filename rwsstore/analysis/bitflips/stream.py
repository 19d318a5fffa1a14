"""A forward pass as a list of steps, and a change of one channel followed through them."""

import copy
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from rwsstore.analysis.bitflips.memory import Change
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


Plain = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
"""A convolution with zeros around its input, or a linear layer; no subclass, no hooks."""

# Exactly these types: a subclass may compute something else.
_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}
_ELEMENTWISE = frozenset(
    {
        nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
        nn.Identity, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
        nn.Softplus, nn.Tanh,
    }
)  # fmt: skip
_POOLS = frozenset({nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d})
_NORMS = frozenset({nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d})
_ADDITIONS = frozenset({operator.add, operator.iadd, torch.add})
_FUNCTIONS = frozenset(
    {
        F.elu,
        F.gelu,
        F.hardswish,
        F.leaky_relu,
        F.relu,
        F.relu6,
        F.silu,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
    }
)

Passing = Callable[[Tensor, int, int, Callable[[fx.Node], Tensor]], Tensor]
"""(the channel's values, axis, channel, values of another step) to the channel's next values.

What it is given is not modified, whatever works in place."""


def is_plain(module: nn.Module | None) -> TypeGuard[Plain]:
    """Whether single channels of a layer can be computed here."""
    if module is None or module._forward_hooks or module._forward_pre_hooks:
        return False
    if type(module) in _CONVOLUTIONS:
        return module.padding_mode == "zeros"
    return type(module) is nn.Linear


def channel_axis(module: Plain) -> int:
    """Where channels lie in a layer's input and output."""
    return -1 if isinstance(module, nn.Linear) else 1


def output_channel(module: Plain, source: Tensor, channel: int) -> Tensor:
    """Compute one channel of a layer's output: [B, C, ...] to [B, 1, ...], as the layer does."""
    row = slice(channel, channel + 1)
    bias = None if module.bias is None else module.bias[row]
    if isinstance(module, nn.Linear):
        return F.linear(source, module.weight[row], bias)
    size = module.in_channels // module.groups
    group = channel // (module.out_channels // module.groups)
    part = source.narrow(1, group * size, size)
    convolve = _CONVOLUTIONS[type(module)]
    return convolve(part, module.weight[row], bias, module.stride, module.padding, module.dilation)


def input_channel(module: Plain, difference: Tensor, channel: int) -> Tensor:
    """What a difference in one channel of its input adds to a layer's output; no groups.

    A layer is linear, so that W·(x + d) = W·x + W·d: [B, 1, ...] to [B, C′, ...].
    """
    column = module.weight.narrow(1, channel, 1)
    if isinstance(module, nn.Linear):
        return F.linear(difference, column)
    convolve = _CONVOLUTIONS[type(module)]
    return convolve(difference, column, None, module.stride, module.padding, module.dilation)


def passing(node: fx.Node, module: nn.Module | None, source: fx.Node, axis: int) -> Passing | None:
    """How a step that mixes no channels takes one of them on; None for any other step.

    Args:
        node: a step of a traced model.
        module: that it calls, if it calls one.
        source: the one of its inputs of which a single channel changed.
        axis: of the channels in it.
    """
    if module is not None:
        return None if module._forward_hooks or module._forward_pre_hooks else _module(module, axis)
    if node.target in _ADDITIONS or (node.op == "call_method" and node.target in ("add", "add_")):
        return _addition(node, source)
    if node.op == "call_method" and node.target in ("relu", "sigmoid", "tanh"):
        return lambda one, _axis, _channel, _other: getattr(one, str(node.target))()
    if node.op == "call_function" and node.target in _FUNCTIONS:
        function: Any = node.target
        more = node.args[1:], node.kwargs
        return lambda one, _axis, _channel, _other: function(one.clone(), *more[0], **more[1])
    return None


def _module(module: nn.Module, axis: int) -> Passing | None:
    if type(module) in _ELEMENTWISE or (type(module) in _POOLS and axis == 1):
        return lambda one, _axis, _channel, _other: module(one.clone())
    if type(module) in _NORMS and axis == 1:
        return lambda one, _axis, channel, _other: _normalized(module, one, channel)
    return None


def _normalized(norm: Any, one: Tensor, channel: int) -> Tensor:
    row = slice(channel, channel + 1)
    weight = None if norm.weight is None else norm.weight[row]
    bias = None if norm.bias is None else norm.bias[row]
    mean, var = norm.running_mean[row], norm.running_var[row]
    return F.batch_norm(one, mean, var, weight, bias, training=False, eps=norm.eps)


def _addition(node: fx.Node, source: fx.Node) -> Passing | None:
    """An addition of two activations, such as a shortcut's, of which one has not changed."""
    if node.kwargs or len(node.args) != 2 or len(node.all_input_nodes) != 2:
        return None
    first, second = node.all_input_nodes
    fixed = second if source is first else first
    return lambda one, axis, channel, other: one + other(fixed).narrow(axis, channel, 1)


@dataclass(frozen=True, eq=False)
class Stream:
    """The steps from a changed layer to those behind which every channel has changed.

    Attributes:
        head: the layer that alone reads the changed parameter.
        layer: its module.
        through: steps whose value changes in the head's channel alone, in order: the one before
            each, and how the channel passes.
        bridges: plain layers behind them: the step before each, and its module.
        borders: the head or steps of `through` that further steps read as well.
    """

    head: fx.Node
    layer: Plain
    through: Mapping[fx.Node, tuple[fx.Node, Passing]]
    bridges: Mapping[fx.Node, tuple[fx.Node, Plain]]
    borders: frozenset[fx.Node]

    @property
    def steps(self) -> frozenset[fx.Node]:
        """The steps that need not be run."""
        return frozenset({self.head, *self.through, *self.bridges})

    @property
    def needed(self) -> frozenset[fx.Node]:
        """The steps whose values before the change are needed."""
        sources = {source for source, _ in self.bridges.values()}
        fixed = {other for node in self.through for other in node.all_input_nodes} - self.steps
        inputs = set(self.head.all_input_nodes)
        return frozenset(inputs | fixed | sources | set(self.bridges) | self.borders)

    def values(self, kept: Mapping[fx.Node, Any], change: Change) -> dict[fx.Node, Tensor]:
        """The values that later steps read, with a change that is in the layer by now.

        Args:
            kept: values before the change, of `needed` at least.
            change: within one output channel of the layer.
        """
        axis, channel = channel_axis(self.layer), self._channel(change)
        ones = {self.head: output_channel(self.layer, kept[self.head.all_input_nodes[0]], channel)}
        for node, (source, step) in self.through.items():
            ones[node] = step(ones[source], axis, channel, kept.__getitem__)
        found: dict[fx.Node, Tensor] = {}
        for node in self.borders:
            found[node] = kept[node].clone()
            found[node].narrow(axis, channel, 1).copy_(ones[node])
        for node, (source, layer) in self.bridges.items():
            difference = ones[source] - kept[source].narrow(axis, channel, 1)
            found[node] = input_channel(layer, difference, channel).add_(kept[node])
        return found

    def _channel(self, change: Change) -> int:
        """Weight and bias both begin with the output channels."""
        tensor = self.layer.get_parameter(change.parameter.rpartition(".")[2])
        return change.start // (tensor.numel() // len(tensor))


def find_stream(steps: Steps, readers: Sequence[fx.Node]) -> Stream | None:
    """Follow a change of one output channel as far as it goes.

    Args:
        steps: of the traced model.
        readers: the steps that read the parameter that changes.

    Returns:
        None if it is not a plain layer that alone reads it.
    """
    layer = steps.modules.get(readers[0]) if len(readers) == 1 else None
    if not is_plain(layer) or len(readers[0].all_input_nodes) != 1:
        return None
    head, axis = readers[0], channel_axis(layer)
    through: dict[fx.Node, tuple[fx.Node, Passing]] = {}
    bridges: dict[fx.Node, tuple[fx.Node, Plain]] = {}
    borders: set[fx.Node] = set()
    changed = set(steps.after(readers))
    for node in steps.after(readers)[1:]:
        sources = [source for source in node.all_input_nodes if source in changed]
        narrow = [source for source in sources if source is head or source in through]
        module = steps.modules.get(node)
        step = passing(node, module, sources[0], axis) if len(sources) == len(narrow) == 1 else None
        if step is not None:
            through[node] = narrow[0], step
        elif len(narrow) == 1 and is_plain(module) and _mixes(module, axis):
            bridges[node] = narrow[0], module
        else:
            borders.update(narrow)
    return Stream(head, layer, through, bridges, frozenset(borders))


def _mixes(layer: Plain, axis: int) -> bool:
    """Whether each channel of a layer's input, along this axis, goes into all of its outputs."""
    return channel_axis(layer) == axis and getattr(layer, "groups", 1) == 1
