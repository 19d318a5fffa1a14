"""TA and RA with and without patches, at several bit widths, and which patches an oracle takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.corruptions import CORRUPTIONS, corrupt, frost_source, load_frost_overlays
from rwsstore.corruptions.registry import find_corruption
from rwsstore.corruptions.rows import check_severity
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.measure.accuracy import Predict, correctness
from rwsstore.measure.bootstrap import Figure, Resampling, mean_of
from rwsstore.measure.grid import Grid, gap_recovered
from rwsstore.measure.report import (
    CorruptionResult,
    EvaluationReport,
    Pair,
    RivalResult,
    StoredResult,
)
from rwsstore.measure.rival import RIVAL_BATCH_SIZES, shuffled, with_batch_statistics
from rwsstore.patches import ModelIdentity, Patch
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import FittingStore, Store


def choose_patches(
    store: Store,
    model: ModelIdentity,
    corruptions: Sequence[str] | None,
    *,
    allow_transfer: bool = False,
) -> dict[str, Patch]:
    """Find an RWS patch for each corruption.

    Patches extracted from this very model come first, each name at its newest such version, then
    the one that bears the corruption's name.

    Args:
        store: to look in.
        model: the clean model.
        corruptions: names; None takes every corruption that the store has a patch for.
        allow_transfer: take patches from other clean weights where there is none from these.

    Raises:
        UnknownPatchError: there is no patch for a corruption, or none at all.
    """
    wanted = tuple(CORRUPTIONS) if corruptions is None else tuple(corruptions)
    found = find_patches(store, model, wanted, allow_transfer=allow_transfer)
    missing = [name for name, patch in found.items() if patch is None]
    if missing and corruptions is not None:
        raise UnknownPatchError(
            f"the store has no RWS patch of this model for {', '.join(missing)}: extract "
            f"{'it' if len(missing) == 1 else 'them'} (rws extract), or leave --corruptions out to "
            "take those that it has"
        )
    chosen = {name: patch for name, patch in found.items() if patch is not None}
    if not chosen:
        raise UnknownPatchError(
            "the store has no RWS patch of this model: extract some (rws extract), or name another "
            "store (--store)"
        )
    return chosen


def find_patches(
    store: Store,
    model: ModelIdentity,
    corruptions: Sequence[str],
    *,
    allow_transfer: bool = False,
) -> dict[str, Patch | None]:
    """Find an RWS patch for each corruption, as `choose_patches` does; None where there is none."""
    found: dict[str, Patch | None] = dict.fromkeys(corruptions)
    for name in corruptions:
        candidates = FittingStore(store, model).list(kind="rws", corruption=name)
        if not candidates and allow_transfer:
            candidates = store.list(kind="rws", corruption=name, architecture=model.architecture)
        if candidates:
            best = min(candidates, key=lambda entry: (entry.name != name, entry.name))
            found[name] = store.get(best.digest)
    return found


@dataclass(frozen=True)
class EvaluationOptions:
    """How an evaluation is made.

    Attributes:
        severities: of the corruptions, each 1 to 5.
        bits: bit widths to quantize the patches to again; empty: as stored.
        seed: of the corruptions and of the bootstrap's draws.
        frost_overlays: folder of photographs for the exact frost; None is the synthetic one.
        rival_batches: batch sizes for the re-estimated BatchNorm.
        resamples: draws of the images behind the intervals; 0: no intervals.
        confidence: of the intervals, above 0 and below 1.

    Raises:
        ConfigError: no severity, or one out of its range, or one that is there twice; a batch
            size below 1; resamples or confidence as `Resampling` refuses them.
    """

    severities: tuple[int, ...] = (5,)
    bits: tuple[int, ...] = ()
    seed: int = 0
    frost_overlays: Path | None = None
    rival_batches: tuple[int, ...] = RIVAL_BATCH_SIZES
    resamples: int = 1000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for severity in self.severities:
            check_severity(severity)
        if not self.severities or len(set(self.severities)) != len(self.severities):
            raise ConfigError(
                f"severities are {self.severities}; expected some, none of them twice"
            )
        if any(batch < 1 for batch in self.rival_batches):
            raise ConfigError(f"rival_batches are {self.rival_batches}; each must be 1 or more")
        _ = self.resampling  # refuses what is out of range

    @property
    def resampling(self) -> Resampling:
        """How the images are drawn again."""
        return Resampling(self.resamples, self.confidence, self.seed)


def evaluate(
    model: nn.Module,
    patches: Mapping[str, Patch | None],
    images: ImageSet,
    options: EvaluationOptions,
    *,
    rival: nn.Module | None = None,
    allow_transfer: bool = False,
    progress: Reporter = SILENT,
) -> EvaluationReport:
    """Measure the clean model and its patches on the same corrupted images.

    Args:
        model: the clean model, folded.
        patches: the patch of each corruption; None where there is none, which then counts as
            nothing recovered.
        images: labelled test images.
        options: severities, bit widths, seed.
        rival: the same network before folding, to compare with re-estimated BatchNorm.
        allow_transfer: accept patches that were extracted from other clean weights.
        progress: where to report.

    Raises:
        ConfigError: no patch, more bits asked for than are stored, or a rival without BatchNorm.
        UnknownNameError: no such corruption.
        MismatchError: a patch does not belong on the model.
        GoldenError: a patch does not do what it recorded.
    """
    stored = {name: patch for name, patch in patches.items() if patch is not None}
    if not stored:
        raise ConfigError("no patches to evaluate; expected one for each corruption")
    for name in patches:
        find_corruption(name)
    folder = options.frost_overlays
    overlays = None if folder is None else load_frost_overlays(folder)
    widths = {
        str(bits): {name: patch.at_bits(bits) for name, patch in stored.items()}
        for bits in options.bits
    } or {"stored": stored}
    every = [patch for width in (stored, *widths.values()) for patch in width.values()]
    live = LiveModel(model, PatchBag(every), allow_transfer=allow_transfer)
    for patch in every:  # so that every refusal comes before the first measurement
        live.variant({patch.digest: None})
    rivals = {}
    if rival is not None:
        rivals = dict.fromkeys(options.rival_batches, with_batch_statistics(rival))
    grid: Grid[_Model, _Shown] = Grid(options.resampling)
    evaluation = _Evaluation(images, options, overlays, dict(patches), widths, live, rivals, grid)
    evaluation.measure(progress)
    return evaluation.report()


_Model = str | int | tuple[str, str]
"""The clean model, the rival at a batch size, or a width and the corruption whose patch is on."""

_Shown = tuple[str, int] | None
"""A corruption and its severity; None: clean images."""

_CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """Fills a grid, and puts a report together from it.

    Attributes:
        overlays: for the exact frost.
        chosen: each corruption's patch as stored; None where there is none.
        widths: the patches by bit width.
        rivals: what normalizes every batch by its own statistics, by the size of the batches.
    """

    images: ImageSet
    options: EvaluationOptions
    overlays: Sequence[Tensor] | None
    chosen: Mapping[str, Patch | None]
    widths: Mapping[str, Mapping[str, Patch]]
    live: LiveModel
    rivals: Mapping[int, nn.Module]
    grid: Grid[_Model, _Shown]

    def measure(self, progress: Reporter) -> None:
        """Measure everything, one corrupted copy of the images at a time."""
        severities = self.options.severities
        patched = sum(map(len, self.widths.values())) * (1 + len(severities))
        shown = 1 + len(self.chosen) * len(severities)
        with progress.task("evaluating", total=patched + shown * (1 + len(self.rivals))) as task:
            models: dict[_Model, Predict] = {_CLEAN: self.live.variant({})}
            self._fill(models, None, task)
            for name in self.chosen:
                put_on: dict[_Model, Predict] = {
                    (bits, name): self.live.variant({patches[name].digest: None})
                    for bits, patches in self.widths.items()
                    if name in patches
                }
                self.grid.fill(
                    put_on, None, self.images.images, self.images.labels, task=task, note=name
                )
                for severity in severities:
                    self._fill({**models, **put_on}, (name, severity), task)

    def _fill(self, models: Mapping[_Model, Predict], shown: _Shown, task: Task) -> None:
        """Measure some models, and the rival, on the same images."""
        images, labels = self.images.images, self.images.labels
        if shown is not None:
            images = corrupt(images, *shown, seed=self.options.seed, frost_overlays=self.overlays)
        note = "clean" if shown is None else shown[0]
        self.grid.fill(models, shown, images, labels, task=task, note=note)
        for batch, rival in self.rivals.items():
            stream, order = shuffled(images, torch.arange(len(images)))
            right = torch.empty(len(images), dtype=torch.bool)  # in the order of the images
            right[order] = correctness(rival, stream, labels[order], batch_size=batch)
            share = self.grid.put(batch, shown, right)
            task.advance(note=f"BatchNorm at batch {batch}: {share:.1f} %")

    def report(self) -> EvaluationReport:
        """What was found."""
        clean, options = self.grid.accuracy(_CLEAN, None), self.options
        by_bits = {bits: self._stored(bits, patches) for bits, patches in self.widths.items()}
        first = next(iter(by_bits.values()))
        return EvaluationReport(
            dataset=self.images.name,
            images=len(self.images),
            severities=options.severities,
            clean_accuracy=clean.value,
            clean_accuracy_interval=clean.interval,
            resamples=options.resamples,
            confidence=options.confidence,
            model_bytes=sum(tensor.nbytes for tensor in self.live.clean.state.values()),
            bits=options.bits[0] if options.bits else None,
            by_bits=by_bits,
            rival={batch: self._rival(batch) for batch in self.rivals},
            frost_source=frost_source(options.frost_overlays),
            **{name: getattr(first, name) for name in StoredResult.model_fields},
        )

    def _stored(self, bits: str, patches: Mapping[str, Patch]) -> StoredResult:
        """All patches at one bit width."""
        without = mean_of([self._mean(_CLEAN, name) for name in self.chosen])
        patched = mean_of([self._mean(self._on(bits, name), name) for name in self.chosen])
        gap = gap_recovered(without, patched, self.grid.accuracy(_CLEAN, None))
        return StoredResult(
            patch_payload_bytes=sum(patch.payload_bytes for patch in patches.values()),
            patch_file_bytes=sum(patch.file_bytes for patch in patches.values()),
            corruptions={name: self._corruption(bits, name) for name in self.chosen},
            mean=Pair(**_pair(without, patched)),
            gap_recovered=gap and gap.value,
            gap_recovered_interval=gap and gap.interval,
        )

    def _rival(self, batch: int) -> RivalResult:
        """Re-estimated BatchNorm at one batch size."""
        clean = self.grid.accuracy(batch, None)
        figures = {name: self._mean(batch, name) for name in self.chosen}
        intervals = {name: figure.interval for name, figure in figures.items()}
        mean = mean_of(list(figures.values()))
        return RivalResult(
            clean_accuracy=clean.value,
            corruptions={name: figure.value for name, figure in figures.items()},
            mean=mean.value,
            clean_accuracy_interval=clean.interval,
            corruption_intervals=None if mean.interval is None else intervals,
            mean_interval=mean.interval,
        )

    def _corruption(self, bits: str, name: str) -> CorruptionResult:
        patch, model = self.chosen[name], self._on(bits, name)
        cost = self.grid.accuracy(model, None)
        by_severity = {}
        for severity in self.options.severities:
            shown = name, severity
            both = (self.grid.accuracy(one, shown) for one in (_CLEAN, model))
            by_severity[severity] = Pair(**_pair(*both))
        return CorruptionResult(
            **_pair(self._mean(_CLEAN, name), self._mean(model, name)),
            patch=patch and patch.name,
            digest=patch and patch.digest,
            patched_clean_accuracy=cost.value,
            patched_clean_accuracy_interval=cost.interval,
            by_severity=by_severity,
        )

    def _on(self, bits: str, name: str) -> _Model:
        """The model with the corruption's patch on; the clean one where there is none."""
        return _CLEAN if self.chosen[name] is None else (bits, name)

    def _mean(self, model: _Model, corruption: str) -> Figure:
        return self.grid.mean(
            [model], [(corruption, severity) for severity in self.options.severities]
        )


def _pair(clean: Figure, patched: Figure) -> dict[str, Any]:
    """The fields of a `Pair`."""
    return {
        "clean_model": clean.value,
        "patched": patched.value,
        "clean_model_interval": clean.interval,
        "patched_interval": patched.interval,
        "gain_interval": (patched - clean).interval,
    }
