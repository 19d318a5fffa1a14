"""TA and RA with and without patches, at several bit widths."""

__all__ = ["EvaluationOptions", "evaluate"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from torch import Tensor, nn

from rwsstore.corruptions import corrupt, frost_source, load_frost_overlays
from rwsstore.corruptions.registry import find_corruption
from rwsstore.corruptions.severity import check_severity
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy
from rwsstore.evaluation.report import (
    CorruptionResult,
    EvaluationReport,
    Pair,
    RivalResult,
    StoredResult,
)
from rwsstore.evaluation.rival import RIVAL_BATCH_SIZES, rival_accuracy, with_batch_statistics
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.runtime import LiveModel, PatchBag, Variant


@dataclass(frozen=True)
class EvaluationOptions:
    """How an evaluation is made.

    Attributes:
        severities: of the corruptions, each 1 to 5.
        bits: bit widths to quantize the patches to again; empty: as stored.
        seed: of the corruptions.
        frost_overlays: folder of photographs for the exact frost; None is the synthetic one.
        rival_batches: batch sizes for the re-estimated BatchNorm.

    Raises:
        ConfigError: no severity, or one out of its range, or one that is there twice; a batch
            size below 1.
    """

    severities: tuple[int, ...] = (5,)
    bits: tuple[int, ...] = ()
    seed: int = 0
    frost_overlays: Path | None = None
    rival_batches: tuple[int, ...] = RIVAL_BATCH_SIZES

    def __post_init__(self) -> None:
        for severity in self.severities:
            check_severity(severity)
        if not self.severities or len(set(self.severities)) != len(self.severities):
            raise ConfigError(
                f"severities are {self.severities}; expected some, none of them twice"
            )
        if any(batch < 1 for batch in self.rival_batches):
            raise ConfigError(f"rival_batches are {self.rival_batches}; each must be 1 or more")


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
        self.names, self.stored = tuple(patches), stored
        self.widths = widths or {"stored": stored}
        every = [patch for width in (stored, *self.widths.values()) for patch in width.values()]
        self.live = LiveModel(model, PatchBag(every), allow_transfer=allow_transfer)
        for patch in every:  # so that every refusal comes before the first measurement
            self.live.variant({patch.digest: None})
        self.rival = None if rival is None else with_batch_statistics(rival)
        self.clean_ra: dict[tuple[str, int], float] = {}
        self.patched_ra: dict[tuple[str, str, int], float] = {}
        self.patched_ta: dict[tuple[str, str], float] = {}
        self.rival_ra: dict[tuple[int, str, int], float] = {}

    def run(self, progress: Reporter) -> EvaluationReport:
        """Measure everything, one corrupted copy of the images at a time."""
        rivals = len(self.options.rival_batches) if self.rival is not None else 0
        severities = len(self.options.severities)
        patched = len(self.stored) * len(self.widths) * (1 + severities)
        total = 1 + rivals + patched + len(self.names) * severities * (1 + rivals)
        with progress.task("evaluating", total=total) as task:
            clean = self._measure(self.live.variant({}), self.images.images, task, "clean")
            rival_ta = self._rival(self.images.images, task)
            for name in self.names:
                self._measure_corruption(name, task)
        return self._report(clean, rival_ta)

    def _measure_corruption(self, name: str, task: Task) -> None:
        variants = {
            bits: self.live.variant({patches[name].digest: None})
            for bits, patches in self.widths.items()
            if name in patches
        }
        for bits, variant in variants.items():
            self.patched_ta[bits, name] = self._measure(variant, self.images.images, task, name)
        for severity in self.options.severities:
            corrupted = corrupt(
                self.images.images,
                name,
                severity,
                seed=self.options.seed,
                frost_overlays=self.overlays,
            )
            clean = self.live.variant({})
            self.clean_ra[name, severity] = self._measure(clean, corrupted, task, name)
            for bits, variant in variants.items():
                found = self._measure(variant, corrupted, task, name)
                self.patched_ra[bits, name, severity] = found
            for batch, found in self._rival(corrupted, task).items():
                self.rival_ra[batch, name, severity] = found

    def _measure(self, variant: Variant, images: Tensor, task: Task, note: str) -> float:
        found = accuracy(variant, images, self.images.labels)
        task.advance(note=f"{note}: {found:.1f} %")
        return found

    def _rival(self, images: Tensor, task: Task) -> dict[int, float]:
        found: dict[int, float] = {}
        if self.rival is not None:
            for batch in self.options.rival_batches:
                found[batch] = rival_accuracy(self.rival, images, self.images.labels, batch)
                task.advance(note=f"BatchNorm at batch {batch}: {found[batch]:.1f} %")
        return found

    def _report(self, clean_accuracy: float, rival_ta: Mapping[int, float]) -> EvaluationReport:
        by_bits = {bits: self._stored(bits, clean_accuracy) for bits in self.widths}
        first = next(iter(by_bits.values()))
        return EvaluationReport(
            dataset=self.images.name,
            images=len(self.images),
            severities=self.options.severities,
            clean_accuracy=clean_accuracy,
            model_bytes=_tensor_bytes(self.live.clean.state),
            bits=self.options.bits[0] if self.options.bits else None,
            by_bits=by_bits,
            rival={batch: self._rival_result(batch, ta) for batch, ta in rival_ta.items()},
            frost_source=frost_source(self.options.frost_overlays),
            **{name: getattr(first, name) for name in StoredResult.model_fields},
        )

    def _stored(self, bits: str, clean_accuracy: float) -> StoredResult:
        results = {name: self._corruption(bits, name, clean_accuracy) for name in self.names}
        mean = Pair(
            clean_model=fmean(result.clean_model for result in results.values()),
            patched=fmean(result.patched for result in results.values()),
        )
        lost = clean_accuracy - mean.clean_model
        patches = self.widths[bits].values()
        return StoredResult(
            patch_payload_bytes=sum(patch.payload_bytes for patch in patches),
            patch_file_bytes=sum(patch.file_bytes for patch in patches),
            corruptions=results,
            mean=mean,
            gap_recovered=(mean.patched - mean.clean_model) / lost if lost > 0 else None,
        )

    def _corruption(self, bits: str, name: str, clean_accuracy: float) -> CorruptionResult:
        patch = self.stored.get(name)
        by_severity = {
            severity: Pair(
                clean_model=self.clean_ra[name, severity],
                patched=self.patched_ra.get((bits, name, severity), self.clean_ra[name, severity]),
            )
            for severity in self.options.severities
        }
        return CorruptionResult(
            clean_model=fmean(pair.clean_model for pair in by_severity.values()),
            patched=fmean(pair.patched for pair in by_severity.values()),
            patch=None if patch is None else patch.name,
            digest=None if patch is None else patch.digest,
            patched_clean_accuracy=self.patched_ta.get((bits, name), clean_accuracy),
            by_severity=by_severity,
        )

    def _rival_result(self, batch: int, clean_accuracy: float) -> RivalResult:
        corruptions = {
            name: fmean(self.rival_ra[batch, name, s] for s in self.options.severities)
            for name in self.names
        }
        return RivalResult(
            clean_accuracy=clean_accuracy,
            corruptions=corruptions,
            mean=fmean(corruptions.values()),
        )


def _tensor_bytes(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())
