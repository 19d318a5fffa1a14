"""Compute formats compared: the fastest on this machine, and how far each agrees with float32."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from rwsstore.cpu import quickest, time_in_turns
from rwsstore.errors import ConfigError, DataError
from rwsstore.models import FormatAgreement
from rwsstore.patches import PatchSet, Request, probe_images
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime.admission import PatchSource
from rwsstore.runtime.engine import Engine
from rwsstore.runtime.formats import FLOAT32, FORMATS, ComputeFormat
from rwsstore.runtime.live import LiveModel
from rwsstore.runtime.variant import CleanModel, build_variant


@dataclass(frozen=True)
class FormatProbe:
    """The fastest format, and the median of a batch in each that the model can be computed in."""

    chosen: ComputeFormat
    milliseconds: Mapping[str, float]


def fastest_format(
    model: nn.Module,
    offered: Sequence[ComputeFormat],
    *,
    size: int,
    batch: int = 8,
    repeats: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> FormatProbe:
    """Time a few batches in each format, turn by turn; nothing depends on the answer but time.

    Args:
        model: left as it is.
        offered: the formats to choose from. One alone is chosen without being timed.
        size: height and width of the images, in pixels.
        batch: images in a batch.
        repeats: timed batches of each, after one that is not.
        clock: seconds, ever rising.

    Raises:
        ConfigError: nothing is offered, or the model can be computed in none of it.
    """
    if len(offered) == 1:
        return FormatProbe(offered[0], {})
    images = probe_images(0, batch, size)
    clean = CleanModel.of(model)
    bare = [build_variant(clean, PatchSet(), {})] * batch
    runs = {}
    for one in offered:
        with suppress(ConfigError):  # the model cannot be computed in it
            run = partial(Engine(clean, one).predict, images, bare)
            run()  # the first builds kernels and allocates
            runs[one] = run
    if not runs:
        raise ConfigError("no compute format is offered that the model can be computed in")
    medians = time_in_turns(runs, repeats=repeats, clock=clock)
    milliseconds = {one.name: 1e3 * seconds for one, seconds in medians.items()}
    return FormatProbe(quickest(medians, FLOAT32), milliseconds)


_FORMATS = tuple(FORMATS.values())
_BATCH = 100


class _Candidate:
    """The model in one format, and what was seen of it: clean first, then each patch set."""

    def __init__(
        self, clean: CleanModel, patches: PatchSource | None, compute: ComputeFormat
    ) -> None:
        self.compute = compute
        self._live = LiveModel(clean, patches, resident_bytes=0, compute=compute)
        self.agreeing: list[int] = []
        self._largest, self._finite = 0.0, True

    def logits(self, images: Tensor, wanted: Request) -> Tensor:
        variant = self._live.variant(wanted)  # the one used last is kept
        return self._live.predict_mixed(images, [variant] * len(images)).float()

    def compare(self, expected: Tensor, images: Tensor, wanted: Request) -> None:
        found = expected if self.compute == FLOAT32 else self.logits(images, wanted)
        self.agreeing[-1] += int((_top(expected) == _top(found)).sum())
        sound = expected.isfinite().all(dim=1)
        differences = (found - expected)[sound].abs()
        self._finite &= bool(found[sound].isfinite().all())
        if len(differences):
            self._largest = max(self._largest, float(differences.max()))

    def summary(self, images: int, sets: Sequence[Request]) -> FormatAgreement:
        lowest = min(self.agreeing)
        return FormatAgreement(
            name=self.compute.name,
            images=images,
            top1_agreement=100 * self.agreeing[0] / images,
            patch_sets=len(sets) - 1,
            lowest_agreement=100 * lowest / images,
            lowest_with=_named(sets[self.agreeing.index(lowest)]),
            largest_difference=float(f"{self._largest:.3g}") if self._finite else None,
        )


def measure_agreement(
    model: nn.Module,
    images: Tensor,
    formats: Iterable[ComputeFormat] = _FORMATS,
    *,
    patches: PatchSource | None = None,
    requests: Sequence[Request] = (),
    progress: Reporter = SILENT,
) -> tuple[FormatAgreement, ...]:
    """Compare each format with float32, on the clean model and with every patch set given.

    Two answers agree where their largest logits have the same place. Logits with NaN or infinity
    agree with nothing but their like.

    Args:
        model: the clean model, its BatchNorm folded.
        images: uint8, or floats in [0, 1]; [N, 3, H, W], best not those it was trained on.
        formats: to be compared; float32 agrees with itself.
        patches: where the patches are found.
        requests: patch sets; a format is offered only if it agrees with every one of them on.
        progress: where to report.

    Returns:
        One for each format in which the model can be computed, in their order.

    Raises:
        DataError: there is no image.
        RwsError: as `LiveModel` and `LiveModel.variant`.
    """
    if not len(images):
        raise DataError("no images to compare the compute formats on: give at least one")
    clean = CleanModel.of(model)
    reference = _Candidate(clean, patches, FLOAT32)
    reference.logits(images[:2], {})  # refuses images that do not fit
    candidates = []
    for compute in formats:
        with suppress(ConfigError):  # the model cannot be computed in it
            candidate = _Candidate(clean, patches, compute)
            candidate.logits(images[:2], {})
            candidates.append(candidate)
    sets: list[Request] = [{}, *requests]
    starts = range(0, len(images), _BATCH)
    with progress.task("compute formats", total=len(sets) * len(starts)) as task:
        for wanted in sets:
            for candidate in candidates:
                candidate.agreeing.append(0)
            for start in starts:
                batch = images[start : start + _BATCH]
                expected = reference.logits(batch, wanted)
                for candidate in candidates:
                    candidate.compare(expected, batch, wanted)
                task.advance(note=_named(wanted) or "clean model")
    return tuple(candidate.summary(len(images), sets) for candidate in candidates)


def _top(logits: Tensor) -> Tensor:
    """The place of the largest logit, int64 [B]; -1 where one is NaN or infinite."""
    return logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1)


def _named(wanted: Request) -> str:
    return ",".join(
        name if alpha is None else f"{name}={alpha!r}" for name, alpha in wanted.items()
    )
