"""Patch sets put on a head in as few operations and as little memory as they need.

The numbers are those of `rwsstore.patches.patched_tensor`, to the bit: s′ = fl32(α·s),
d = fl32(q·s′), and the sum takes the d's in the order of the digests, each operation rounded on its
own. (The first d is written where the sum is to stand and the clean weights added to it:
fl(a + b) = fl(b + a).)
"""

__all__ = ["Builder"]

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.errors import TensorError
from rwsstore.patches import Patch, PatchSet
from rwsstore.patches.quantization import all_finite
from rwsstore.runtime.decoding import Decoded, Step
from rwsstore.runtime.layout import Layout

_DECODED_BYTES = 16 << 20
"""Decoded patches kept at hand; a patch that is not is decoded again, for each build."""
_LAYOUTS = 8
"""Layouts kept at hand, each with a copy of the clean tensors; patches mostly touch the same."""
_SURELY_FINITE = 1e38
"""Sums whose parts are bounded by this stay finite in float32, whatever is rounded."""


class _Base:
    """What every build of the same tensors starts from.

    Args:
        layout: where they lie.
        clean: the clean tensors, laid out so.

    Attributes:
        layout, clean: as given.
        largest: the clean tensors' largest absolute value.
    """

    def __init__(self, layout: Layout, clean: Tensor) -> None:
        self.layout, self.clean = layout, clean
        self.largest = float(clean.abs().max())
        self._plans: WeakKeyDictionary[Decoded, _Plan] = WeakKeyDictionary()

    def plan(self, decoded: Decoded) -> "_Plan":
        """How a patch goes on these tensors; found once."""
        plan = self._plans.get(decoded)
        if plan is None:
            plan = self._plans[decoded] = _Plan.of(self, decoded)
        return plan


@dataclass(frozen=True, eq=False)
class _Plan:
    """How a patch goes on some tensors.

    Attributes:
        steps: one behind the other.
        lengths: numbers in each.
        whole: whether the steps reach every number.
    """

    steps: tuple[Step, ...]
    lengths: tuple[int, ...]
    whole: bool

    @classmethod
    def of(cls, base: _Base, decoded: Decoded) -> "_Plan":
        steps = tuple(sorted(decoded.steps(base.layout), key=lambda step: step.start))
        lengths = tuple(step.stop - step.start for step in steps)
        return cls(steps, lengths, sum(lengths) == base.layout.size)

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
        self._lock = threading.Lock()
        self._bases: OrderedDict[frozenset[str], _Base] = OrderedDict()
        self._decoded: OrderedDict[Digest, Decoded] = OrderedDict()

    @torch.inference_mode(False)  # gradients may be wanted through what is built (attacks)
    def build(self, patches: PatchSet, available: Mapping[Digest, Patch]) -> tuple[Layout, Tensor]:
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
        chosen = [(self._decode(available[digest]), alpha) for digest, alpha in patches]
        base = self._base(frozenset().union(*(available[digest].tensors for digest, _ in patches)))
        total = _start(base, *chosen[0])
        if len(chosen) > 1:
            longest = max(max(base.plan(decoded).lengths) for decoded, _ in chosen[1:])
            spare = torch.empty(longest, device=total.device)
            for decoded, alpha in chosen[1:]:
                _add(base.plan(decoded), decoded, alpha, total, spare)
        bound = base.largest + sum(abs(alpha) * decoded.largest for decoded, alpha in chosen)
        if not bound < _SURELY_FINITE:
            _check_finite(base.layout, total)
        return base.layout, total

    def _base(self, touched: frozenset[str]) -> _Base:
        with self._lock:
            if touched in self._bases:
                self._bases.move_to_end(touched)
                return self._bases[touched]
        tensors = {name: self._clean[name].detach() for name in touched}
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise TensorError(f"weights of {name!r} are {tensor.dtype}; patches go on float32")
        layout = Layout.of({name: tensor.shape for name, tensor in tensors.items()})
        flat = torch.cat([tensors[name].reshape(-1) for name in layout.names])
        base = _Base(layout, flat)
        with self._lock:
            self._bases[touched] = base
            if len(self._bases) > _LAYOUTS:
                self._bases.popitem(last=False)
        return base

    def _decode(self, patch: Patch) -> Decoded:
        with self._lock:
            if patch.digest in self._decoded:
                self._decoded.move_to_end(patch.digest)
                return self._decoded[patch.digest]
        decoded = Decoded(patch, next(iter(self._clean.values())).device)
        with self._lock:
            self._decoded[patch.digest] = decoded
            kept = sum(one.nbytes for one in self._decoded.values())
            while kept > _DECODED_BYTES:
                kept -= self._decoded.popitem(last=False)[1].nbytes
        return decoded


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


def _check_finite(layout: Layout, total: Tensor) -> None:
    for name, tensor in layout.views(total).items():
        if not all_finite(tensor):
            raise TensorError(f"patched weights of {name!r} are not finite: use smaller alphas")
