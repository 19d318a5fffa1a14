"""TA and RA with and without patches, at several bit widths, and which patches an oracle takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rwsstore.corruptions import CORRUPTIONS, corrupt, frost_source, load_frost_overlays
from rwsstore.corruptions.registry import find_corruption
from rwsstore.corruptions.rows import check_severity
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.measure.accuracy import correctness, percent
from rwsstore.measure.bootstrap import Figure, Interval, Resampling, bootstrap, mean_of
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
from rwsstore.runtime import LiveModel, PatchBag, Variant
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


class Cell(NamedTuple):
    """What was classified, and by which model.

    Attributes:
        model: "clean", a bit width of the patches ("stored", "8"), or the rival's batch size.
        patch: the corruption whose patch was on; None: the clean model, or the rival.
        corruption: of the images; None: clean ones.
        severity: of that corruption.
    """

    model: str | int
    patch: str | None = None
    corruption: str | None = None
    severity: int | None = None


class Assembly:
    """Puts the parts of a report together.

    Args:
        figures: accuracies in percent.
        severities: of every corruption.
        chosen: each corruption's patch as stored; None where there is none.
    """

    def __init__(
        self,
        figures: Mapping[Cell, Figure],
        severities: Sequence[int],
        chosen: Mapping[str, Patch | None],
    ) -> None:
        self._figures, self._severities, self._chosen = figures, severities, chosen
        self.clean = figures[Cell("clean")]

    def stored(self, bits: str, patches: Mapping[str, Patch]) -> StoredResult:
        """All patches at one bit width."""
        without = mean_of([self._mean("clean", None, name) for name in self._chosen])
        patched = mean_of([self._patched_mean(bits, name) for name in self._chosen])
        lost = self.clean - without
        gap = (patched - without) / lost if lost.value > 0 else None
        return StoredResult(
            patch_payload_bytes=sum(patch.payload_bytes for patch in patches.values()),
            patch_file_bytes=sum(patch.file_bytes for patch in patches.values()),
            corruptions={name: self._corruption(bits, name) for name in self._chosen},
            mean=Pair(**_pair(without, patched)),
            gap_recovered=gap and gap.value,
            gap_recovered_interval=gap and gap.interval,
        )

    def rival(self, batch: int) -> RivalResult:
        """Re-estimated BatchNorm at one batch size."""
        clean = self._figures[Cell(batch)]
        figures = {name: self._mean(batch, None, name) for name in self._chosen}
        mean = mean_of(list(figures.values()))
        return RivalResult(
            clean_accuracy=clean.value,
            corruptions={name: figure.value for name, figure in figures.items()},
            mean=mean.value,
            clean_accuracy_interval=clean.interval,
            corruption_intervals=_intervals(figures),
            mean_interval=mean.interval,
        )

    def _corruption(self, bits: str, name: str) -> CorruptionResult:
        patch = self._chosen[name]
        cost = self.clean if patch is None else self._figures[Cell(bits, name)]
        pair = _pair(self._mean("clean", None, name), self._patched_mean(bits, name))
        severities = {}
        for severity in self._severities:
            clean = self._figures[Cell("clean", None, name, severity)]
            patched = self._figures.get(Cell(bits, name, name, severity), clean)
            severities[severity] = Pair(**_pair(clean, patched))
        return CorruptionResult(
            **pair,
            patch=patch and patch.name,
            digest=patch and patch.digest,
            patched_clean_accuracy=cost.value,
            patched_clean_accuracy_interval=cost.interval,
            by_severity=severities,
        )

    def _patched_mean(self, bits: str, name: str) -> Figure:
        """RA with the corruption's patch on; the clean model's where there is none."""
        if self._chosen[name] is None:
            return self._mean("clean", None, name)
        return self._mean(bits, name, name)

    def _mean(self, model: str | int, patch: str | None, corruption: str) -> Figure:
        keys = [Cell(model, patch, corruption, severity) for severity in self._severities]
        return mean_of([self._figures[key] for key in keys])


def _pair(clean: Figure, patched: Figure) -> dict[str, Any]:
    """The fields of a `Pair`."""
    return {
        "clean_model": clean.value,
        "patched": patched.value,
        "clean_model_interval": clean.interval,
        "patched_interval": patched.interval,
        "gain_interval": (patched - clean).interval,
    }


def _intervals(figures: Mapping[str, Figure]) -> dict[str, Interval] | None:
    found = {name: figure.interval for name, figure in figures.items()}
    known = {name: interval for name, interval in found.items() if interval is not None}
    return known if len(known) == len(found) else None


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
    return _Evaluation(model, patches, images, options, rival, allow_transfer).run(progress)


class _Evaluation:
    def __init__(
        self,
        model: nn.Module,
        patches: Mapping[str, Patch | None],
        images: ImageSet,
        options: EvaluationOptions,
        rival: nn.Module | None,
        allow_transfer: bool,
    ) -> None:
        stored = {name: patch for name, patch in patches.items() if patch is not None}
        if not stored:
            raise ConfigError("no patches to evaluate; expected one for each corruption")
        for name in patches:
            find_corruption(name)
        self.images, self.options = images, options
        folder = options.frost_overlays
        self.overlays = None if folder is None else load_frost_overlays(folder)
        widths: dict[str, Mapping[str, Patch]] = {
            str(bits): {name: patch.at_bits(bits) for name, patch in stored.items()}
            for bits in options.bits
        }
        self.names, self.chosen, self.stored = tuple(patches), dict(patches), stored
        self.widths = widths or {"stored": stored}
        every = [patch for width in (stored, *self.widths.values()) for patch in width.values()]
        self.live = LiveModel(model, PatchBag(every), allow_transfer=allow_transfer)
        for patch in every:  # so that every refusal comes before the first measurement
            self.live.variant({patch.digest: None})
        self.rival = None if rival is None else with_batch_statistics(rival)
        self.correct: dict[Cell, Tensor] = {}

    def run(self, progress: Reporter) -> EvaluationReport:
        """Measure everything, one corrupted copy of the images at a time."""
        rivals = len(self.options.rival_batches) if self.rival is not None else 0
        severities = len(self.options.severities)
        patched = len(self.stored) * len(self.widths) * (1 + severities)
        total = 1 + rivals + patched + len(self.names) * severities * (1 + rivals)
        with progress.task("evaluating", total=total) as task:
            self._measure(Cell("clean"), self.live.variant({}), self.images.images, task)
            self._measure_rival(self.images.images, None, None, task)
            for name in self.names:
                self._measure_corruption(name, task)
        return self._report()

    def _measure_corruption(self, name: str, task: Task) -> None:
        variants = {
            bits: self.live.variant({patches[name].digest: None})
            for bits, patches in self.widths.items()
            if name in patches
        }
        for bits, variant in variants.items():
            self._measure(Cell(bits, name), variant, self.images.images, task)
        for severity in self.options.severities:
            corrupted = corrupt(
                self.images.images,
                name,
                severity,
                seed=self.options.seed,
                frost_overlays=self.overlays,
            )
            what = Cell("clean", None, name, severity)
            self._measure(what, self.live.variant({}), corrupted, task)
            for bits, variant in variants.items():
                self._measure(Cell(bits, name, name, severity), variant, corrupted, task)
            self._measure_rival(corrupted, name, severity, task)

    def _measure(self, what: Cell, variant: Variant, images: Tensor, task: Task) -> None:
        right = correctness(variant, images, self.images.labels)
        self.correct[what] = right
        note = what.corruption or what.patch or "clean"
        task.advance(note=f"{note}: {percent(right):.1f} %")

    def _measure_rival(
        self, images: Tensor, corruption: str | None, severity: int | None, task: Task
    ) -> None:
        if self.rival is None:
            return
        for batch in self.options.rival_batches:
            stream, order = shuffled(images, torch.arange(len(images)))
            right = torch.empty(len(images), dtype=torch.bool)  # in the order of the images
            labels = self.images.labels[order]
            right[order] = correctness(self.rival, stream, labels, batch_size=batch)
            self.correct[Cell(batch, None, corruption, severity)] = right
            task.advance(note=f"BatchNorm at batch {batch}: {percent(right):.1f} %")

    def _report(self) -> EvaluationReport:
        figures = bootstrap(self.correct, self.options.resampling)
        parts = Assembly(figures, self.options.severities, self.chosen)
        by_bits = {bits: parts.stored(bits, patches) for bits, patches in self.widths.items()}
        first = next(iter(by_bits.values()))
        batches = self.options.rival_batches if self.rival is not None else ()
        return EvaluationReport(
            dataset=self.images.name,
            images=len(self.images),
            severities=self.options.severities,
            clean_accuracy=parts.clean.value,
            clean_accuracy_interval=parts.clean.interval,
            resamples=self.options.resamples,
            confidence=self.options.confidence,
            model_bytes=sum(tensor.nbytes for tensor in self.live.clean.state.values()),
            bits=self.options.bits[0] if self.options.bits else None,
            by_bits=by_bits,
            rival={batch: parts.rival(batch) for batch in batches},
            frost_source=frost_source(self.options.frost_overlays),
            **{name: getattr(first, name) for name in StoredResult.model_fields},
        )
