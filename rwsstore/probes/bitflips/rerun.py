"""Running a model again after one of its parameters changed: only what depends on it.

What the later steps read of the earlier ones is computed once and kept; a change then costs the
steps after it. Where the change lies in one output channel of a convolution or linear layer, as
every flip of one weight does, that channel alone is followed until the next layers mix it into
all others, and to those layers' outputs only the difference is added.
"""

import copy
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from rwsstore.errors import ConfigError
from rwsstore.models.graph import Graph, attribute
from rwsstore.probes.bitflips.memory import Damage, changed, tensor_of

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
            if self._in_place(node):  # the steps after it read its value, not the one before it
                first = node.all_input_nodes[0]
                for later in self.nodes[self.nodes.index(node) + 1 :]:
                    later.replace_input_with(first, node)

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
    if channels == "sum" and not node.kwargs and len(node.args) == len(node.all_input_nodes) == 2:
        # Such as a shortcut's: one of both activations has not changed.
        (fixed,) = (other for other in node.all_input_nodes if other is not source)
        return lambda one, axis, channel, other: one + other(fixed).narrow(axis, channel, 1)
    if channels == "apart" or (channels == "planes" and axis == 1):
        more, options = node.args[1:], node.kwargs
        return lambda one, _axis, _channel, _other: steps.call(node, (one.clone(), *more), options)
    if channels == "norm" and axis == 1:
        norm: Any = steps.modules[node]

        def normalized(one: Tensor, _axis: int, channel: int, _other: object) -> Tensor:
            row = slice(channel, channel + 1)
            weight = None if norm.weight is None else norm.weight[row]
            bias = None if norm.bias is None else norm.bias[row]
            mean, var = norm.running_mean[row], norm.running_var[row]
            return F.batch_norm(one, mean, var, weight, bias, training=False, eps=norm.eps)

        return normalized
    return None


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
        # Weight and bias both begin with the output channels.
        tensor = self.layer.get_parameter(change.parameter.rpartition(".")[2])
        channel = change.start // (tensor.numel() // len(tensor))
        axis = channel_axis(self.layer)
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

    def mixes(module: nn.Module) -> bool:
        """Whether each channel of its input, along this axis, goes into all of its outputs."""
        return channel_axis(module) == axis and getattr(module, "groups", 1) == 1

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
        elif len(narrow) == 1 and is_plain(steps, node) and mixes(steps.modules[node]):
            bridges[node] = narrow[0], cast("Plain", steps.modules[node])
        else:
            borders.update(narrow)
    return Stream(head, layer, through, bridges, frozenset(borders))


Rerun = Callable[[Damage], Tensor]
"""Logits [B, C] of one batch; the change is in the model while it is called."""

_Way = Callable[[str, Tensor], Rerun]

_TOLERANCE = 1e-4
_TRIED = 8
"""Images on which a way is tried before it is taken."""


class Replay:
    """Finds for each parameter what has to be run again when it changes.

    Args:
        model: a copy to work on, in evaluation mode. One that cannot be traced is run whole.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._steps: Steps | None = None
        with suppress(ConfigError):
            self._steps = Steps(model)
        self._ways: dict[tuple[int, ...], _Way] = {}

    def place(self, parameter: str) -> tuple[int, ...]:
        """Where the forward pass reads a parameter; of equal places the same is kept.

        Returns:
            Numbers of the steps; (−1,) if the model is run whole.
        """
        if self._steps is None:
            return (-1,)
        return tuple(self._steps.nodes.index(node) for node in self._steps.readers((parameter,)))

    def on(self, parameter: str, images: Tensor) -> Rerun:
        """Prepare to run a batch again and again, with changes of parameters of one place.

        Args:
            parameter: one of that place.
            images: float32 [B, 3, H, W] in [0, 1].
        """
        place = self.place(parameter)
        if place not in self._ways:
            self._ways[place] = self._first_fit(parameter, images[:_TRIED])
        return self._ways[place](parameter, images)

    def whole(self, _parameter: str, images: Tensor) -> Rerun:
        """Run the whole model each time: the naive way, which the others have to equal."""
        return lambda _change: cast("Tensor", self._model(images))

    def _first_fit(self, parameter: str, images: Tensor) -> _Way:
        """The fastest way that gives what the whole model gives, tried on a few images.

        A way fails where a step modifies in place what was kept, or does what no trace shows.
        """
        if self._steps is None:
            return self.whole
        stream = find_stream(self._steps, self._steps.readers((parameter,)))
        whole = self.whole(parameter, images)
        for chosen in (stream, None) if stream is not None else (None,):
            way = partial(_from_change_on, self._steps, chosen)
            with suppress(Exception):  # a user's forward may raise anything
                if self._agree(way(parameter, images), whole, parameter):
                    return way
        return self.whole

    def _agree(self, rerun: Rerun, whole: Rerun, parameter: str) -> bool:
        flat = tensor_of(self._model, parameter).view(-1)
        nothing = Damage(parameter, 0, flat[:1].clone())
        for change in (nothing, Damage(parameter, 0, flat[:1] + 1), nothing):
            with changed(self._model, change):
                found, expected = rerun(change), whole(change)
            border = _TOLERANCE * float(expected.abs().max())
            if found.shape != expected.shape or not bool(
                torch.allclose(found, expected, rtol=_TOLERANCE, atol=border)
            ):
                return False
        return True


def _from_change_on(steps: Steps, stream: Stream | None, parameter: str, images: Tensor) -> Rerun:
    """Keep one batch's values on the way from what a change cannot reach to what it can."""
    after = steps.after(steps.readers((parameter,)))
    again = [node for node in after if stream is None or node not in stream.steps]
    needed = {source for node in again for source in node.all_input_nodes}.difference(after)
    if steps.output not in after:  # no answer depends on it
        needed.add(steps.output)
    if stream is not None:
        needed |= stream.needed
    kept: dict[fx.Node, Any] = {steps.nodes[0]: images}
    steps.run(steps.before(needed), kept, needed)

    def rerun(change: Damage) -> Tensor:
        values = dict(kept)
        if stream is not None:
            values |= stream.values(kept, change)
        steps.run(again, values, (steps.output,))
        logits: Tensor = values[steps.output]
        return logits

    return rerun
