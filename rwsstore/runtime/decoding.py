"""Patches decoded for speed: their codes as float32, in the order in which heads lie in memory."""

__all__ = ["Decoded", "Step"]

from collections.abc import Iterator
from ctypes import c_float
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.patches import Patch, QuantizedTensor
from rwsstore.runtime.layout import Layout

_BLOCK = 1 << 18
"""Most numbers that one step takes, but for a single longer row: 1 MiB, to stay in a core's cache
from one operation to the next."""

_LARGEST_CODE = {16: 32767, 8: 127, 4: 7, 3: 3, 2: 1}


@dataclass(frozen=True)
class Step:
    """Neighbouring numbers of a patch that one multiplication takes.

    Attributes:
        start: place of their first number in the head's buffer.
        stop: place behind their last.
        numbers: codes [rows, row length], or float32 deltas [n].
        rows: which of the patch's scales are theirs; None for float32 deltas.
    """

    start: int
    stop: int
    numbers: Tensor
    rows: slice | None


class Decoded:
    """The numbers of one patch as float32: codes and deltas flat, scales a row.

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
        numbers, scales, rows = [], [], []
        bounds = [0.0]
        for name in self._layout.names:
            payload = payloads[name]
            if isinstance(payload, QuantizedTensor):
                numbers.append(payload.codes.float().flatten())
                scales.append(payload.scale.double())
                bounds.append(float(payload.scale.abs().max()) * _LARGEST_CODE[payload.bits])
            else:
                numbers.append(payload.values.flatten())
                bounds.append(float(payload.values.abs().max()))
            rows.append(len(payload.scale) if isinstance(payload, QuantizedTensor) else 0)
        self._numbers = torch.cat(numbers).to(device)
        self._scales = torch.cat([torch.empty(0, dtype=torch.float64), *scales]).to(device)
        self._rows = dict(zip(self._layout.names, rows, strict=True))
        self._first_row = dict(zip(self._layout.names, accumulate((0, *rows)), strict=False))
        self.largest = max(bounds)
        self.nbytes = self._numbers.nbytes + self._scales.nbytes

    def steps(self, layout: Layout) -> tuple[Step, ...]:
        """How the patch goes into a buffer of this layout.

        Neighbours here and there go together where their rows are equally long.

        Raises:
            TensorError: a tensor has another shape there.
        """
        there = dict(zip(layout.names, zip(layout.starts, layout.shapes, strict=True), strict=True))
        runs: list[list[tuple[str, int]]] = []
        own = zip(self._layout.names, self._layout.shapes, strict=True)
        for name, shape in own:
            start, wanted = there[name]
            if shape != wanted:
                raise TensorError(
                    f"weights of {name!r} have shape {wanted}, a delta for them {shape}"
                )
            if runs and self._follows(runs[-1][-1], name, start, layout):
                runs[-1].append((name, start))
            else:
                runs.append([(name, start)])
        return tuple(step for run in runs for step in self._blocks(run))

    def scales(self, alpha: float) -> Tensor:
        """s′ = fl32(α·s), the product in float64; float32 [rows of all tensors]."""
        return (self._scales * alpha).float()

    @staticmethod
    def strength(alpha: float) -> float:
        """fl32(α), by which float32 deltas are multiplied."""
        return c_float(alpha).value

    def _follows(self, last: tuple[str, int], name: str, start: int, layout: Layout) -> bool:
        before, at = last
        size = layout.sizes[layout.names.index(before)]
        return at + size == start and self._row_length(before) == self._row_length(name)

    def _row_length(self, name: str) -> int:
        """Numbers that share a scale; 0 where there is none."""
        place = self._layout.names.index(name)
        return self._layout.sizes[place] // self._rows[name] if self._rows[name] else 0

    def _blocks(self, run: list[tuple[str, int]]) -> Iterator[Step]:
        first, last = run[0][0], run[-1][0]
        place, end = self._layout.names.index(first), self._layout.names.index(last)
        begin = self._layout.starts[place]
        count = self._layout.starts[end] + self._layout.sizes[end] - begin
        start, length = run[0][1], self._row_length(first)
        block = max(_BLOCK // length, 1) * length if length else _BLOCK
        for at in range(0, count, block):
            size = min(block, count - at)
            numbers = self._numbers[begin + at : begin + at + size]
            if not length:
                yield Step(start + at, start + at + size, numbers, None)
                continue
            row = self._first_row[first] + at // length
            rows = slice(row, row + size // length)
            yield Step(start + at, start + at + size, numbers.view(-1, length), rows)
