"""Patches decoded for speed: their codes unpacked, in the order in which heads lie in memory."""

__all__ = ["Decoded", "Step"]

from collections.abc import Iterator, Mapping
from ctypes import c_float
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.patches import Patch, QuantizedTensor
from rwsstore.patches.quantization import Payload
from rwsstore.runtime.layout import Layout

_BLOCK = 1 << 20
"""Most numbers that one step takes, but for a single longer row: 4 MiB, so that the room for one
more delta stays small. Shorter steps, to stay in a core's own cache, were measured to cost more."""


@dataclass(frozen=True)
class Step:
    """Neighbouring numbers of a patch that one multiplication takes.

    Attributes:
        start: place of their first number in the head's buffer.
        stop: place behind their last.
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
        row: of its first scale.
        length: numbers that share a scale; 0 for float32 deltas.
    """

    dtype: torch.dtype
    start: int
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
        self._layout = Layout.of({name: payload.shape for name, payload in payloads.items()})
        self._places = self._place(payloads)
        ordered = [payloads[name] for name in self._layout.names]
        numbers: dict[torch.dtype, list[Tensor]] = {}
        for payload in ordered:
            found = _numbers(payload)
            numbers.setdefault(found.dtype, []).append(found.flatten())
        self._numbers = {dtype: torch.cat(some).to(device) for dtype, some in numbers.items()}
        scales = [one.scale.double() for one in ordered if isinstance(one, QuantizedTensor)]
        none = torch.empty(0, dtype=torch.float64)
        self._scales = torch.cat([none, *scales])[:, None].to(device)
        self.largest = max(_largest(payload) for payload in ordered)
        self.nbytes = sum(one.nbytes for one in (*self._numbers.values(), self._scales))

    def steps(self, layout: Layout) -> tuple[Step, ...]:
        """How the patch goes into a buffer of this layout.

        Neighbours here and there go together where their rows are equally long.

        Raises:
            TensorError: a tensor has another shape there.
        """
        there = dict(zip(layout.names, zip(layout.starts, layout.shapes, strict=True), strict=True))
        sizes = dict(zip(self._layout.names, self._layout.sizes, strict=True))
        runs: list[tuple[_Place, int, int]] = []  # the first tensor, its start there, numbers
        for name, shape in zip(self._layout.names, self._layout.shapes, strict=True):
            start, wanted = there[name]
            if shape != wanted:
                raise TensorError(
                    f"weights of {name!r} have shape {wanted}, a delta for them {shape}"
                )
            place = self._places[name]
            if runs and _follows(runs[-1], place, start):
                first, begin, count = runs[-1]
                runs[-1] = first, begin, count + sizes[name]
            else:
                runs.append((place, start, sizes[name]))
        return tuple(step for run in runs for step in self._blocks(*run))

    def scales(self, alpha: float) -> Tensor:
        """s′ = fl32(α·s), the product in float64; float32 [rows of all tensors, 1]."""
        return (self._scales * alpha).float()

    @staticmethod
    def strength(alpha: float) -> float:
        """fl32(α), by which float32 deltas are multiplied."""
        return c_float(alpha).value

    def _place(self, payloads: Mapping[str, Payload]) -> dict[str, _Place]:
        places, row, starts = {}, 0, dict[torch.dtype, int]()
        for name, size in zip(self._layout.names, self._layout.sizes, strict=True):
            payload = payloads[name]
            dtype = _numbers(payload).dtype
            rows = len(payload.scale) if isinstance(payload, QuantizedTensor) else 0
            length = size // rows if rows else 0
            places[name] = _Place(dtype, starts.get(dtype, 0), row, length)
            starts[dtype] = starts.get(dtype, 0) + size
            row += rows
        return places

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
            row, count_of_rows = first.row + at // length, size // length
            rows = slice(row, row + count_of_rows)
            yield Step(start + at, start + at + size, numbers, rows, (count_of_rows, length))


def _numbers(payload: Payload) -> Tensor:
    return payload.codes if isinstance(payload, QuantizedTensor) else payload.values


def _largest(payload: Payload) -> float:
    if isinstance(payload, QuantizedTensor):
        return float(payload.scale.abs().max()) * ((1 << (payload.bits - 1)) - 1)
    return float(payload.values.abs().max())


def _follows(run: tuple[_Place, int, int], place: _Place, start: int) -> bool:
    """Whether a tensor lies right behind a run, among its patch's numbers and in the head."""
    first, begin, count = run
    alike = first.dtype == place.dtype and first.length == place.length
    return alike and first.start + count == place.start and begin + count == start
