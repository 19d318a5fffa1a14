"""Which bits are flipped: all of a layer, or a sample of everything."""

__all__ = ["Sites", "layer_sites", "sample_sites"]

from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.analysis.bitflips.formats import chosen_bits
from rwsstore.analysis.bitflips.memory import Memory, StoredArray
from rwsstore.errors import ConfigError, TensorError, UnknownNameError

_SHUFFLED = 2**22
"""Up to so many bits a sample is the head of a shuffle; of more it is drawn, repeats dropped."""


@dataclass(frozen=True, eq=False)
class Sites:
    """Bits of a memory, one after the other.

    Attributes:
        array: int64 [S], position in the memory's `arrays`.
        index: int64 [S], the number in that array, flattened.
        bit: int64 [S], its bit; 0 is the least significant one.

    Raises:
        TensorError: they are not int64 [S], S at least 1 and the same for all.
    """

    array: Tensor
    index: Tensor
    bit: Tensor

    def __post_init__(self) -> None:
        columns = (self.array, self.index, self.bit)
        shapes = {(column.dtype, tuple(column.shape)) for column in columns}
        if shapes != {(torch.int64, (len(self.array),))} or not len(self.array):
            raise TensorError("sites are not three columns int64 [S] of one length S above 0")

    def __len__(self) -> int:
        return len(self.array)

    def check(self, memory: Memory) -> None:
        """See that every site is in a memory.

        Raises:
            ConfigError: one is not.
        """
        limits = torch.tensor([(row.count, row.form.bits) for row in memory.arrays])
        inside = (self.array >= 0) & (self.array < len(limits))
        own = limits[self.array.clamp(0, len(limits) - 1)]
        inside &= (self.index >= 0) & (self.index < own[:, 0])
        inside &= (self.bit >= 0) & (self.bit < own[:, 1])
        if not bool(inside.all()):
            first = int((~inside).nonzero()[0, 0])
            raise ConfigError(
                f"site {first} (array {int(self.array[first])}, number {int(self.index[first])}, "
                f"bit {int(self.bit[first])}) is not in this memory: make sites for it"
            )


def sample_sites(memory: Memory, count: int, *, bits: str = "all", seed: int = 0) -> Sites:
    """Draw bits without repetition, each of those chosen as likely as any other.

    Where all numbers have one format, as in `StoredWeights`, that is uniform over the parameters
    as well. The sample follows from memory, count, bits and seed alone.

    Args:
        memory: in which they lie.
        count: how many, at least 1.
        bits: as for `chosen_bits`.
        seed: at least 0.

    Raises:
        ConfigError: the count or the seed is out of range, or no number has such a bit.
        UnknownNameError: no such choice of bits.
    """
    runs = _runs(memory.arrays, bits)
    total = sum(rows * len(positions) for _, rows, positions in runs)
    if seed < 0:
        raise ConfigError(f"the seed is {seed}; it must be 0 or more")
    if not 1 <= count <= total:
        raise ConfigError(f"a sample of {count} bits was asked for; expected 1 to {total}")
    places = _draw(total, count, torch.Generator().manual_seed(seed))
    return _at(runs, places)


def layer_sites(memory: Memory, layer: str, *, bits: str = "all") -> Sites:
    """List the chosen bits of a whole layer.

    Args:
        memory: in which they lie.
        layer: name of a layer, or of one array.
        bits: as for `chosen_bits`.

    Raises:
        UnknownNameError: no such layer or choice of bits.
        ConfigError: no number of the layer has such a bit.
    """
    chosen = {number for number, row in enumerate(memory.arrays) if layer in (row.layer, row.name)}
    if not chosen:
        known = {name for row in memory.arrays for name in (row.layer, row.name)}
        raise UnknownNameError("layer", layer, known)
    runs = _runs(memory.arrays, bits, chosen)
    total = sum(rows * len(positions) for _, rows, positions in runs)
    return _at(runs, torch.arange(total))


_Run = tuple[int, int, tuple[int, ...]]
"""Position of an array, its count, the chosen bits of each of its numbers."""


def _runs(arrays: tuple[StoredArray, ...], bits: str, chosen: set[int] | None = None) -> list[_Run]:
    rows = [(n, row) for n, row in enumerate(arrays) if chosen is None or n in chosen]
    runs = [(n, row.count, chosen_bits(bits, row.form)) for n, row in rows]
    widest = max(row.form.bits for _, row in rows)
    named = [int(part) for part in bits.split(",") if part.strip().isdecimal()]
    if any(position >= widest for position in named) or not any(run[2] for run in runs):
        formats = ", ".join(sorted({row.form.name for _, row in rows}))
        raise ConfigError(
            f"bits {bits!r}: the numbers here are {formats}, with up to {widest} bits"
        )
    return runs


def _draw(total: int, count: int, generator: torch.Generator) -> Tensor:
    if total <= _SHUFFLED or count > total // 2:
        return torch.randperm(total, generator=generator)[:count]
    found: dict[int, None] = {}
    while len(found) < count:
        drawn = torch.randint(total, (count - len(found),), generator=generator)
        found.update(dict.fromkeys(drawn.tolist()))
    return torch.tensor(list(found))


def _at(runs: list[_Run], places: Tensor) -> Sites:
    """The sites at places of the list of all chosen bits."""
    sizes = torch.tensor([rows * len(positions) for _, rows, positions in runs])
    ends = sizes.cumsum(0)
    run = torch.searchsorted(ends, places, right=True)
    within = places - (ends - sizes)[run]
    widths = torch.tensor([max(1, len(positions)) for _, _, positions in runs])
    table = torch.zeros(len(runs), int(widths.max()), dtype=torch.int64)
    for number, (_, _, positions) in enumerate(runs):
        table[number, : len(positions)] = torch.tensor(positions, dtype=torch.int64)
    array = torch.tensor([number for number, _, _ in runs])[run]
    return Sites(array, within // widths[run], table[run, within % widths[run]])
