"""Flipping bits one at a time, all or a sample, and counting what each costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rwsstore.data import ImageSet, check_labels, unit_images
from rwsstore.errors import ConfigError, TensorError, UnknownNameError
from rwsstore.files import Results
from rwsstore.models import check_evaluating
from rwsstore.probes.bitflips.memory import Memory, StoredArray, changed, chosen_bits
from rwsstore.probes.bitflips.rerun import Replay
from rwsstore.progress import SILENT, Reporter

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
    generator = torch.Generator().manual_seed(seed)
    if total <= _SHUFFLED or count > total // 2:
        return _at(runs, torch.randperm(total, generator=generator)[:count])
    found: dict[int, None] = {}
    while len(found) < count:
        drawn = torch.randint(total, (count - len(found),), generator=generator)
        found.update(dict.fromkeys(drawn.tolist()))
    return _at(runs, torch.tensor(list(found)))


def layer_sites(memory: Memory, layer: str, *, bits: str = "all") -> Sites:
    """List the chosen bits, as for `chosen_bits`, of a whole layer or of one array.

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


_Span = tuple[int, int, tuple[int, ...]]
"""Position of an array, its count, the chosen bits of each of its numbers."""


def _runs(
    arrays: tuple[StoredArray, ...], bits: str, chosen: set[int] | None = None
) -> list[_Span]:
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


def _at(runs: list[_Span], places: Tensor) -> Sites:
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


_CHUNK = 256
"""Sites that are measured between two entries in the results."""


@dataclass(frozen=True, eq=False)
class Survey:
    """How many images were classified rightly after each flip.

    Attributes:
        sites: what was flipped, one at a time.
        arrays: the memory's arrays, to which the sites refer.
        format: what was stored, in words.
        right: int64 [S]; an image whose logits are not all finite is not right.
        broken: int64 [S], the images whose logits are not all finite.
        clean_right: without a flip.
        images: how many images there are, N.
        classes: C.
    """

    sites: Sites
    arrays: tuple[StoredArray, ...]
    format: str
    right: Tensor
    broken: Tensor
    clean_right: int
    images: int
    classes: int

    @property
    def clean_accuracy(self) -> float:
        """In percent."""
        return 100.0 * self.clean_right / self.images

    @property
    def rad(self) -> Tensor:
        """(Acc_clean − Acc_flip) / Acc_clean, float64 [S]: at most 1, below 0 if a flip helps."""
        return (self.clean_right - self.right).double() / self.clean_right

    @property
    def adjusted(self) -> Tensor:
        """(Acc_clean − Acc_flip) / (Acc_clean − 1/C), at most 1; float64 [S]. Our own choice.

        RAD of a model that always gives the same answer is 1 − 1/(C·Acc_clean), not 1; this is 1.
        """
        above = self.classes * self.clean_right - self.images
        lost = self.classes * (self.clean_right - self.right)
        return (lost.double() / above).clamp(max=1.0)


def survey(
    memory: Memory,
    images: ImageSet,
    sites: Sites,
    *,
    batch_size: int = 250,
    replay: bool = True,
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> Survey:
    """Flip each of many bits, one at a time, and measure the accuracy with it.

    A flip re-runs only the steps of the forward pass that depend on the changed weight, on
    values that are kept of one batch at a time; a model that cannot be traced is run whole.
    Sums may be rounded otherwise than in the whole forward pass: logits agree to about 1e-6 of
    the largest, so that only an image on the very border of two classes can count differently.

    Args:
        memory: what the bits are in.
        images: labelled, as the model takes them.
        sites: which bits, of that memory.
        batch_size: images at once; what is kept grows with it.
        replay: False runs the whole model for each flip, the naive way.
        results: where finished parts are kept, so that an interrupted survey goes on.
        progress: told of each flip of each batch.

    Raises:
        ConfigError: the model is not in evaluation mode or cannot be run, a site is not in the
            memory, the batch size is below 1, or the clean accuracy is not above chance.
        TensorError: the clean logits are not finite.
        DataError: the labels are not classes of the model.
    """
    if batch_size < 1:
        raise ConfigError(f"the batch size is {batch_size}; expected 1 or more")
    sites.check(memory)
    device = next(memory.model.parameters()).device
    pixels = unit_images(images.images).to(device)
    classes = check_evaluating(memory.model, pixels)
    labels = check_labels(images.labels, len(pixels), classes).to(device)
    kept = Results(None, {}) if results is None else results
    parts = (torch.split(whole, batch_size) for whole in (pixels, labels))
    batches = list(zip(*parts, strict=True))
    with torch.no_grad():
        clean_right = sum(_count(memory.model(x), labels)[0] for x, labels in batches)
    if clean_right * classes <= len(pixels):
        raise ConfigError(
            f"{clean_right} of {len(pixels)} images are classified rightly without a flip, which "
            f"is no more than guessing among {classes} classes: there is no accuracy to lose"
        )
    again = Replay(memory.model)
    prepare = again.on if replay else again.whole
    right, broken = torch.empty(2, len(sites), dtype=torch.int64)
    with progress.task("flipping bits", total=len(sites) * len(batches)) as task:

        @torch.no_grad()
        def count(chunk: Tensor) -> list[list[int]]:
            """Images right, and images with broken logits, after each flip of a chunk."""
            rows = torch.stack((sites.array, sites.index, sites.bit), 1)[chunk].tolist()
            changes = [memory.change(*row) for row in rows]
            found = torch.zeros(2, len(chunk), dtype=torch.int64)
            for shown, known in batches:
                rerun = prepare(changes[0].parameter, shown)
                for number, change in enumerate(changes):
                    with changed(memory.model, change):
                        found[:, number] += torch.tensor(_count(rerun(change), known))
                    task.advance()
            return [list(row) for row in found.tolist()]

        for number, chunk in enumerate(_chunks(again, memory, sites)):
            key = f"sites {number}"
            if key in kept:
                task.advance(len(chunk) * len(batches))
            right[chunk], broken[chunk] = torch.tensor(kept.value(key, partial(count, chunk)))
    return Survey(
        sites, memory.arrays, memory.format, right, broken, clean_right, len(pixels), classes
    )


def _chunks(replay: Replay, memory: Memory, sites: Sites) -> Iterator[Tensor]:
    """Sites that share what is kept, int64 positions; so many that a chunk takes seconds."""
    places = [replay.place(row.parameter) for row in memory.arrays]
    for place in sorted(set(places)):
        own = torch.tensor([other == place for other in places])
        chosen = own[sites.array].nonzero().flatten()
        yield from torch.split(chosen, _CHUNK) if len(chosen) else ()


def _count(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Images right, and images whose logits are not all finite, which are never right."""
    finite = torch.isfinite(logits).all(1)
    right = (logits.argmax(1) == labels) & finite
    return int(right.sum()), int((~finite).sum())
