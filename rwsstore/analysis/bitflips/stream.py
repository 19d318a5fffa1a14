"""A change of one channel, followed until layers mix it into all channels."""

__all__ = ["Stream", "find_stream"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from rwsstore.analysis.bitflips.channels import (
    Passing,
    Plain,
    channel_axis,
    input_channel,
    is_plain,
    output_channel,
    passing,
)
from rwsstore.analysis.bitflips.graph import Steps
from rwsstore.analysis.bitflips.memory import Change


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
