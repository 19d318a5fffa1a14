"""How large the numbers of a patched forward pass can become, whatever the image.

Weights can be finite and still make numbers that are not. To try some images tells it for these,
and costs a forward pass. But what a layer gets lies between two numbers, its weights bound what it
makes of that, and so on to the logits: interval bound propagation (Gowal et al., 2018), here with
one interval for all numbers of a tensor. A layer's weights are summed up once, and so are a patch's
deltas: |w + α·δ| ≤ |w| + |α|·|δ|, so that a patch set costs no more than a step a layer.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from rwsstore.models.graph import Graph, UnknownOperationError, is_plain_call, unknown
from rwsstore.patches import Patch

LARGEST = 2.0**100
"""Bounds beyond are none. Float32 and bfloat16 end at 2^128: a kernel may add up 2^27 numbers on
its way, for an average or in an order of its own, and round them."""

_ROUNDING = 1e-3
"""More than any number here can be off by, as a share of the largest of its tensor."""

_Moved = Mapping[int, float]
"""How far patches move one output of a layer at most, for inputs up to 1: by the id of a tensor."""


class ValueRange(NamedTuple):
    """The bounds of all numbers of a tensor."""

    low: float
    high: float


UNBOUNDED = ValueRange(-math.inf, math.inf)


class _Gain(NamedTuple):
    """What a layer makes of an interval around 0.

    Attributes:
        up: largest sum of the positive weights of one output.
        down: the same of the negative ones, without their sign.
        least, most: of what is added to it.
    """

    up: float
    down: float
    least: float
    most: float

    def of(self, x: ValueRange, weights: float = 0.0, biases: float = 0.0) -> ValueRange:
        """Bound what it makes of an interval with its weights and biases moved."""
        up, down = self.up + weights, self.down + weights
        return ValueRange(
            up * x.low - down * x.high + self.least - biases,
            up * x.high - down * x.low + self.most + biases,
        )


_Bound = Callable[[Sequence[ValueRange], _Moved], ValueRange | None]
"""Takes the bounds of an operation's inputs to those of its output; None if there are none."""


class Bounds:
    """Bounds the logits of one clean model with any patches on it; safe to use from any thread.

    Args:
        graph: of the clean model, in evaluation mode; None where it cannot be traced.
    """

    def __init__(self, graph: Graph | None) -> None:
        self._ids: dict[str, int] = {}
        self._reach: WeakKeyDictionary[Patch, Mapping[str, float]] = WeakKeyDictionary()
        self._steps: list[tuple[_Bound, list[int]]] = []
        if graph is not None:
            named = graph.model.named_parameters(remove_duplicate=False)
            self._ids = {name: id(tensor) for name, tensor in named}
            places = {node: place for place, node in enumerate(graph.nodes)}
            with suppress(UnknownOperationError):
                self._steps = [
                    (_bound_of(node, graph), [places[before] for before in node.all_input_nodes])
                    for node in places
                ]

    def logits(self, patches: Iterable[tuple[Patch, float]]) -> ValueRange:
        """Bound the logits for all images, of bytes or of floats in [0, 1].

        Every number on the way lies within `LARGEST` of 0 too.

        Args:
            patches: not composed ones, each with its α.

        Returns:
            The bounds; `UNBOUNDED` where they lie further out, or a step is not known.
        """
        if not self._steps:
            return UNBOUNDED
        moved: defaultdict[int, float] = defaultdict(float)
        for patch, alpha in patches:
            known = self._reach.get(patch)
            if known is None:  # how far each tensor moves an output at strength 1
                known = self._reach[patch] = {
                    name: float(_rows(payload.delta(1.0)).abs().sum(1).max())
                    for name, payload in patch.tensors.items()
                }
            for name, reach in known.items():
                moved[self._ids[name]] += abs(alpha) * reach
        values = [ValueRange(0.0, 1.0)]  # the images; the first step hands them on
        for bound, places in self._steps:
            inputs = [values[place + 1] for place in places] or values[:1]
            value = _widened(bound(inputs, moved))
            if value is None:
                return UNBOUNDED
            values.append(value)
        return values[-1]


def _widened(x: ValueRange | None) -> ValueRange | None:
    """With room for rounding, and 0 and 1 in it, so that every weight behind counts.

    Returns:
        None if it is too wide, or NaN.
    """
    if x is None or not (x.low >= -LARGEST and x.high <= LARGEST):
        return None
    room = _ROUNDING * max(-x.low, x.high)
    return ValueRange(min(x.low - room, 0.0), max(x.high + room, 1.0))


def _rows(tensor: Tensor) -> Tensor:
    """The numbers of each output in a row; a bias has one for each."""
    return tensor.flatten(1) if tensor.dim() > 1 else tensor.reshape(-1, 1)


def _bound_of(node: fx.Node, graph: Graph) -> _Bound:
    if node.op in ("placeholder", "output"):
        return _either
    module = graph.modules.get(node)
    bound = graph.rule(node, "interval", _RULES)(module)
    if (module is not None and not is_plain_call(node)) or (bound is _sum and node.kwargs):
        raise unknown(node, module)  # a sum may be scaled
    return bound


def _weighted(layer: nn.Conv2d | nn.Linear) -> _Bound:
    rows, bias = _rows(layer.weight.detach()), layer.bias
    size, total = rows.abs().sum(1), rows.sum(1)
    shift = size.new_zeros(1) if bias is None else bias.detach()
    gain = _gain((size + total) / 2, (size - total) / 2, shift)  # of its positive, negative weights
    weight_id, bias_id = id(layer.weight), id(bias)

    def bound(inputs: Sequence[ValueRange], moved: _Moved) -> ValueRange:
        return gain.of(inputs[0], moved.get(weight_id, 0.0), moved.get(bias_id, 0.0))

    return bound


def _batch_norm(layer: nn.BatchNorm2d) -> _Bound:
    mean, variance = layer.running_mean, layer.running_var
    if layer.training or mean is None or variance is None:
        raise UnknownOperationError(f"{layer} with statistics of the batch")
    scale = (variance + layer.eps).rsqrt()
    weight = torch.ones_like(scale) if layer.weight is None else layer.weight.detach()
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.detach()
    whole = _scaled(weight * scale, bias - mean * weight * scale)
    return _unpatched(layer, [*_centred(mean, scale), whole])


def _unpatched(layer: nn.Module, gains: Sequence[_Gain]) -> _Bound:
    """Of what a layer computes on its way, and last of what it gives; not known once patched."""
    own = frozenset(map(id, layer.parameters()))

    def bound(inputs: Sequence[ValueRange], moved: _Moved) -> ValueRange | None:
        found = [gain.of(inputs[0]) for gain in gains]
        return found[-1] if own.isdisjoint(moved) and all(map(_widened, found)) else None

    return bound


def _centred(mean: Tensor, scale: Tensor) -> Sequence[_Gain]:
    """The steps x − mean and (x − mean) · scale."""
    return [_scaled(torch.ones_like(scale), -mean), _scaled(scale, -mean * scale)]


def _scaled(weight: Tensor, shift: Tensor) -> _Gain:
    """The step x · weight + shift, channel by channel."""
    return _gain(weight.relu(), (-weight).relu(), shift)


def _gain(up: Tensor, down: Tensor, shift: Tensor) -> _Gain:
    return _Gain(*torch.stack([up.max(), down.max(), shift.min(), shift.max()]).tolist())


def _either(inputs: Sequence[ValueRange], _moved: _Moved) -> ValueRange:
    return ValueRange(min(one.low for one in inputs), max(one.high for one in inputs))


def _sum(inputs: Sequence[ValueRange], _moved: _Moved) -> ValueRange | None:
    if len(inputs) != 2:  # x + x has one, and so has x + 1
        return None
    return ValueRange(inputs[0].low + inputs[1].low, inputs[0].high + inputs[1].high)


_RULES: Mapping[str, Callable[[Any], _Bound]] = {
    "weights": _weighted,
    "batch_norm": _batch_norm,
    "normalize": lambda layer: _unpatched(layer, _centred(layer.mean, 1 / layer.std)),
    "relu": lambda _module: lambda inputs, _moved: ValueRange(0.0, inputs[0].high),
    "between": lambda _module: _either,
    "sum": lambda _module: _sum,
}
"""By the word in an operation's row; of the module that computes it."""
