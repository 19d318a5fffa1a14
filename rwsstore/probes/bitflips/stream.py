"""A forward pass as a list of steps, and a change of one channel followed through them."""

import copy
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, fx, nn
from torch.nn import functional as F

from rwsstore.errors import ConfigError
from rwsstore.models.graph import Graph, attribute
from rwsstore.probes.bitflips.memory import Damage

_IN_PLACE = frozenset(
    getattr(operator, f"i{name}") for name in ("add", "sub", "mul", "truediv", "matmul", "pow")
)


class Steps(Graph):
    """The traced forward pass of a model in evaluation mode.

    Parameters are read when a step is run, so a changed one has its effect.

    Args:
        model: a copy to work on.

    Raises:
        ConfigError: it cannot be traced.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if any(node.op == "placeholder" and not node.args for node in self.nodes[1:]):
            raise ConfigError(f"{type(model).__name__} takes more than images")
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

    def _value(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        if node.op == "placeholder":
            return node.args[0]  # an argument besides the images: its default
        if node.op == "get_attr":
            return attribute(self.model, str(node.target))
        if self._in_place(node):  # its input has to stay as it was: it may be kept
            first = node.all_input_nodes[0]
            values = {**values, first: copy.deepcopy(values[first])}
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        return args[0] if node.op == "output" else self.call(node, args, kwargs)

    def call(self, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Compute an operation with other inputs than its own."""
        if node.op == "call_module":
            return self.modules[node](*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
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


Plain = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
"""A convolution with zeros around its input, or a linear layer; no subclass, no hooks."""

_CONVOLVE: Sequence[Callable[..., Tensor]] = (F.conv1d, F.conv2d, F.conv3d)

Passing = Callable[[Tensor, int, int, Callable[[fx.Node], Tensor]], Tensor]
"""(the channel's values, axis, channel, values of another step) to the channel's next values.

What it is given is not modified, whatever works in place."""


def is_plain(steps: Steps, node: fx.Node) -> bool:
    """Whether single channels of a step that is a layer can be computed here."""
    row = steps.operation(node)
    padding = getattr(steps.modules.get(node), "padding_mode", "zeros")
    return row is not None and row.channels == "mixed" and padding == "zeros"


def channel_axis(module: nn.Module) -> int:
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
    convolve = _CONVOLVE[len(module.kernel_size) - 1]
    return convolve(part, module.weight[row], bias, module.stride, module.padding, module.dilation)


def input_channel(module: Plain, difference: Tensor, channel: int) -> Tensor:
    """What a difference in one channel of its input adds to a layer's output; no groups.

    A layer is linear, so that W·(x + d) = W·x + W·d: [B, 1, ...] to [B, C′, ...].
    """
    column = module.weight.narrow(1, channel, 1)
    if isinstance(module, nn.Linear):
        return F.linear(difference, column)
    convolve = _CONVOLVE[len(module.kernel_size) - 1]
    return convolve(difference, column, None, module.stride, module.padding, module.dilation)


def passing(steps: Steps, node: fx.Node, source: fx.Node, axis: int) -> Passing | None:
    """How a step that mixes no channels takes one of them on; None for any other step.

    Args:
        steps: of the traced model.
        node: one of them.
        source: the one of its inputs of which a single channel changed.
        axis: of the channels in it.
    """
    row = steps.operation(node)
    channels = "" if row is None else row.channels
    if channels == "sum":
        return _addition(node, source)
    if channels == "apart" or (channels == "planes" and axis == 1):
        more, options = node.args[1:], node.kwargs
        return lambda one, _axis, _channel, _other: steps.call(node, (one.clone(), *more), options)
    if channels == "norm" and axis == 1:
        norm = steps.modules[node]
        return lambda one, _axis, channel, _other: _normalized(norm, one, channel)
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

    def values(self, kept: Mapping[fx.Node, Any], change: Damage) -> dict[fx.Node, Tensor]:
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

    def _channel(self, change: Damage) -> int:
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
    if len(readers) != 1 or len(readers[0].all_input_nodes) != 1 or not is_plain(steps, readers[0]):
        return None
    head, layer = readers[0], cast("Plain", steps.modules[readers[0]])
    axis = channel_axis(layer)
    through: dict[fx.Node, tuple[fx.Node, Passing]] = {}
    bridges: dict[fx.Node, tuple[fx.Node, Plain]] = {}
    borders: set[fx.Node] = set()
    changed = steps.after(readers)
    for node in changed[1:]:
        sources = [source for source in node.all_input_nodes if source in changed]
        narrow = [source for source in sources if source is head or source in through]
        alone = len(sources) == len(narrow) == 1
        step = passing(steps, node, sources[0], axis) if alone else None
        if step is not None:
            through[node] = narrow[0], step
        elif len(narrow) == 1 and is_plain(steps, node) and _mixes(steps.modules[node], axis):
            bridges[node] = narrow[0], cast("Plain", steps.modules[node])
        else:
            borders.update(narrow)
    return Stream(head, layer, through, bridges, frozenset(borders))


def _mixes(layer: nn.Module, axis: int) -> bool:
    """Whether each channel of a layer's input, along this axis, goes into all of its outputs."""
    return channel_axis(layer) == axis and getattr(layer, "groups", 1) == 1
