"""Patch sets put on a head in as few operations and as little memory as can be.

The numbers are those of `rwsstore.patches.patched_tensor`, to the bit: s′ = fl32(α·s),
d = fl32(q·s′), and the sum takes the d's in the order of the digests, each operation rounded on its
own. (The first d is written where the sum is to stand and the clean weights added to it:
fl(a + b) = fl(b + a).)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ctypes import c_float
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rwsstore.cache import LruCache
from rwsstore.canonical import Digest
from rwsstore.errors import TensorError
from rwsstore.patches import Patch, PatchSet, QuantizedTensor
from rwsstore.patches.quantization import all_finite


class BufferLayout:
    """Where each tensor lies in the buffer.

    Tensors whose rows (the slices along the first dimension) are equally long lie side by side,
    those of one dimension at the end: then one multiplication reaches all of them.

    Args:
        shapes: of the tensors by name.

    Attributes:
        names: of the tensors, in the order in which they lie.
        shapes, sizes, starts: shape, numbers, and place of the first number of each.
    """

    def __init__(self, shapes: Mapping[str, Iterable[int]]) -> None:
        found = {name: tuple(shape) for name, shape in shapes.items()}

        def place(name: str) -> tuple[bool, int, str]:
            return len(found[name]) < 2, prod(found[name][1:]), name

        self.names = tuple(sorted(found, key=place))
        self.shapes = tuple(found[name] for name in self.names)
        self.sizes = tuple(map(prod, self.shapes))
        self.starts = tuple(accumulate(self.sizes, initial=0))[:-1]

    @property
    def size(self) -> int:
        """Numbers in the whole buffer."""
        return sum(self.sizes)

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """The tensors by name, sharing the buffer's memory."""
        parts = buffer.split_with_sizes(self.sizes)
        named = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in named}


_BLOCK = 1 << 20
"""Most numbers that one step takes, but for a single longer row: 4 MiB, so that the room for one
more delta stays small. Shorter steps, to stay in a core's own cache, were measured to cost more."""


@dataclass(frozen=True)
class Step:
    """Neighbouring numbers of a patch that one multiplication takes.

    Attributes:
        start, stop: their places in the head's buffer.
        numbers: codes, int8 or int16, or float32 deltas; flat.
        rows: which of the patch's scales are theirs; None for float32 deltas.
        shape: of the codes: those of a row share a scale.
    """

    start: int
    stop: int
    numbers: Tensor
    rows: slice | None
    shape: tuple[int, int]


@dataclass(frozen=True)
class _Place:
    """Where a tensor's numbers and scales lie among its patch's.

    Attributes:
        dtype: of its numbers: of codes, or float32.
        start: of its numbers, among those of this dtype.
        size: how many they are.
        row: of its first scale.
        length: numbers that share a scale; 0 for float32 deltas.
    """

    dtype: torch.dtype
    start: int
    size: int
    row: int
    length: int


class Decoded:
    """The numbers of one patch: codes and float32 deltas flat, a scale for each row of codes.

    Args:
        patch: not composed.
        device: where the numbers go.

    Attributes:
        nbytes: of its numbers.
        largest: no number of the patch at strength 1 has a larger absolute value.
    """

    def __init__(self, patch: Patch, device: torch.device) -> None:
        payloads = patch.tensors
        self._layout = BufferLayout({name: payload.shape for name, payload in payloads.items()})
        self._places: dict[str, _Place] = {}
        numbers: dict[torch.dtype, list[Tensor]] = {}
        scales = [torch.empty(0, dtype=torch.float64)]
        starts: Counter[torch.dtype] = Counter()
        row, self.largest = 0, 0.0
        for name, size in zip(self._layout.names, self._layout.sizes, strict=True):
            payload, rows = payloads[name], 0
            if isinstance(payload, QuantizedTensor):
                own, rows = payload.codes, len(payload.scale)
                scales.append(payload.scale.double())
                largest = float(payload.scale.abs().max()) * ((1 << (payload.bits - 1)) - 1)
            else:
                own, largest = payload.values, float(payload.values.abs().max())
            length = size // rows if rows else 0
            self._places[name] = _Place(own.dtype, starts[own.dtype], size, row, length)
            numbers.setdefault(own.dtype, []).append(own.flatten())
            starts[own.dtype] += size
            row += rows
            self.largest = max(self.largest, largest)
        self._numbers = {dtype: torch.cat(some).to(device) for dtype, some in numbers.items()}
        self._scales = torch.cat(scales)[:, None].to(device)
        self.nbytes = sum(one.nbytes for one in (*self._numbers.values(), self._scales))

    def steps(self, layout: BufferLayout) -> tuple[Step, ...]:
        """How the patch goes into a buffer of this layout.

        Neighbours here and there go together where their rows are equally long.

        Raises:
            TensorError: a tensor has another shape there.
        """
        there = dict(zip(layout.names, zip(layout.starts, layout.shapes, strict=True), strict=True))
        runs: list[tuple[_Place, int, int]] = []  # the first tensor, its start there, numbers
        for name, shape in zip(self._layout.names, self._layout.shapes, strict=True):
            start, wanted = there[name]
            if shape != wanted:
                raise TensorError(
                    f"weights of {name!r} have shape {wanted}, a delta for them {shape}"
                )
            place = self._places[name]
            if runs:  # does it lie right behind the run before, among its patch's and there?
                first, begin, count = runs[-1]
                alike = first.dtype == place.dtype and first.length == place.length
                if alike and first.start + count == place.start and begin + count == start:
                    runs[-1] = first, begin, count + place.size
                    continue
            runs.append((place, start, place.size))
        return tuple(step for run in runs for step in self._blocks(*run))

    def scales(self, alpha: float) -> Tensor:
        """s′ = fl32(α·s), the product in float64; float32 [rows of all tensors, 1]."""
        return (self._scales * alpha).float()

    @staticmethod
    def strength(alpha: float) -> float:
        """fl32(α), by which float32 deltas are multiplied."""
        return c_float(alpha).value

    def _blocks(self, first: _Place, start: int, count: int) -> Iterator[Step]:
        length = first.length
        block = max(_BLOCK // length, 1) * length if length else _BLOCK
        for at in range(0, count, block):
            size = min(block, count - at)
            begin = first.start + at
            numbers = self._numbers[first.dtype][begin : begin + size]
            if not length:
                yield Step(start + at, start + at + size, numbers, None, (1, size))
                continue
            row, rows = first.row + at // length, size // length
            yield Step(
                start + at, start + at + size, numbers, slice(row, row + rows), (rows, length)
            )


_DECODED_BYTES = 16 << 20
"""Decoded patches kept at hand; a patch that is not is decoded again, for each build."""
_LAYOUTS = 8
"""Layouts kept at hand, each with a copy of the clean tensors; patches mostly touch the same."""
_SURELY_FINITE = 1e38
"""Sums whose parts are bounded by this stay finite in float32, whatever is rounded."""


class _Base:
    """What every build of the same tensors starts from.

    Attributes:
        layout: where they lie.
        clean: the clean tensors, laid out so.
        largest: the clean tensors' largest absolute value.
    """

    def __init__(self, layout: BufferLayout, clean: Tensor) -> None:
        self.layout, self.clean = layout, clean
        self.largest = float(clean.abs().max())
        self._plans: WeakKeyDictionary[Decoded, _Plan] = WeakKeyDictionary()

    def plan(self, decoded: Decoded) -> "_Plan":
        """How a patch goes on these tensors; found once."""
        plan = self._plans.get(decoded)
        if plan is None:
            plan = self._plans[decoded] = _Plan(decoded.steps(self.layout), self.layout.size)
        return plan


class _Plan:
    """How a patch goes on some tensors.

    Attributes:
        steps: one behind the other.
        lengths: numbers in each.
        whole: whether the steps reach every number.
    """

    def __init__(self, steps: Iterable[Step], size: int) -> None:
        self.steps = tuple(sorted(steps, key=lambda step: step.start))
        self.lengths = tuple(step.stop - step.start for step in self.steps)
        self.whole = sum(self.lengths) == size

    def places(self, buffer: Tensor) -> Sequence[Tensor]:
        """The part of a buffer that each step reaches."""
        if self.whole:  # they lie side by side: one operation finds all
            return buffer.split_with_sizes(self.lengths)
        return [buffer[step.start : step.stop] for step in self.steps]


class Builder:
    """Builds the tensors of patch sets; safe to use from any thread.

    Args:
        clean: the clean tensors by name, never written.
    """

    def __init__(self, clean: Mapping[str, Tensor]) -> None:
        self._clean = clean
        self._bases = LruCache[frozenset[str], _Base](_LAYOUTS)
        self._decoded = LruCache[Digest, Decoded](_DECODED_BYTES)

    @torch.inference_mode(False)  # gradients may be wanted through what is built (attacks)
    def build(
        self, patches: PatchSet, available: Mapping[Digest, Patch]
    ) -> tuple[BufferLayout, Tensor]:
        """Compute the tensors that a patch set touches, from the pristine clean weights.

        Args:
            patches: at least one.
            available: its patches by digest.

        Returns:
            Where the tensors lie, and the buffer that they lie in: float32, freshly allocated.
            Several patches need one block besides, no copy of the head.

        Raises:
            TensorError: the clean weights are not float32, a delta has another shape, or the
                patched weights are not finite.
        """
        chosen = []
        for digest, alpha in patches:
            decoded = self._decoded.get(digest)
            if decoded is None:
                decoded = Decoded(available[digest], next(iter(self._clean.values())).device)
                self._decoded.put(digest, decoded, weight=decoded.nbytes)
            chosen.append((decoded, alpha))
        touched = frozenset().union(*(available[digest].tensors for digest, _ in patches))
        base = self._bases.find(touched, partial(self._base, touched))
        total = _start(base, *chosen[0])
        if len(chosen) > 1:
            longest = max(max(base.plan(decoded).lengths) for decoded, _ in chosen[1:])
            spare = torch.empty(longest, device=total.device)
            for decoded, alpha in chosen[1:]:
                _add(base.plan(decoded), decoded, alpha, total, spare)
        bound = base.largest + sum(abs(alpha) * decoded.largest for decoded, alpha in chosen)
        if not bound < _SURELY_FINITE:
            for name, tensor in base.layout.views(total).items():
                if not all_finite(tensor):
                    raise TensorError(
                        f"patched weights of {name!r} are not finite: use smaller alphas"
                    )
        return base.layout, total

    def _base(self, touched: frozenset[str]) -> _Base:
        tensors = {name: self._clean[name].detach() for name in touched}
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise TensorError(f"weights of {name!r} are {tensor.dtype}; patches go on float32")
        layout = BufferLayout({name: tensor.shape for name, tensor in tensors.items()})
        flat = torch.cat([tensors[name].reshape(-1) for name in layout.names])
        return _Base(layout, flat)


def _start(base: _Base, first: Decoded, alpha: float) -> Tensor:
    """The clean weights and the first patch."""
    plan, total = base.plan(first), torch.empty_like(base.clean)
    if not plan.whole:
        total.copy_(base.clean)
        _add(plan, first, alpha, total, torch.empty(max(plan.lengths), device=total.device))
        return total
    scales, strength = first.scales(alpha), first.strength(alpha)
    for step, place in zip(plan.steps, plan.places(total), strict=True):
        _write(step, scales, strength, place)
    return total.add_(base.clean)


def _add(plan: _Plan, decoded: Decoded, alpha: float, total: Tensor, spare: Tensor) -> None:
    """Add a patch; torch.add's own alpha would round product and sum as one."""
    scales, strength = decoded.scales(alpha), decoded.strength(alpha)
    for step, length, place in zip(plan.steps, plan.lengths, plan.places(total), strict=True):
        delta = spare[:length]
        _write(step, scales, strength, delta)
        place.add_(delta)


def _write(step: Step, scales: Tensor, strength: float, out: Tensor) -> None:
    """Write the deltas of one step."""
    if step.rows is None:
        torch.mul(step.numbers, strength, out=out)
    else:
        out.copy_(step.numbers).view(step.shape).mul_(scales[step.rows])
