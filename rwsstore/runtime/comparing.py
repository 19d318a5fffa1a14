"""Compute formats compared: the fastest on this machine, and how far each agrees with float32."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from rwsstore.runtime.variant import CleanModel, Variant, build_variant


@dataclass(frozen=True)
class FormatProbe:
    """What was measured.

    Attributes:
        chosen: the fastest format.
        milliseconds: median of a batch in each format that the model can be computed in, by name.
    """

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
    runs = {one: run for one in offered if (run := _ready(clean, one, images))}
    if not runs:
        raise ConfigError("no compute format is offered that the model can be computed in")
    medians = time_in_turns(runs, repeats=repeats, clock=clock)
    milliseconds = {one.name: 1e3 * seconds for one, seconds in medians.items()}
    return FormatProbe(quickest(medians, FLOAT32), milliseconds)


def _ready(
    clean: CleanModel, compute: ComputeFormat, images: Tensor
) -> Callable[[], Tensor] | None:
    """Predicts a batch in a format, and did; None where the model cannot be computed in it."""
    bare = build_variant(clean, PatchSet(), {})
    try:
        run = partial(Engine(clean, compute).predict, images, [bare] * len(images))
        run()  # the first builds kernels and allocates
    except ConfigError:
        return None
    return run


_FORMATS = tuple(FORMATS.values())
_BATCH = 100


@dataclass
class _Tally:
    """What was seen of one patch set in one format."""

    agreeing: int = 0
    largest: float = 0.0
    finite: bool = True

    def add(self, expected: Tensor, found: Tensor) -> None:
        """Compare logits [B, C] of the same images."""
        self.agreeing += int((_top(expected) == _top(found)).sum())
        sound = expected.isfinite().all(dim=1)
        differences = (found - expected)[sound].abs()
        self.finite &= bool(found[sound].isfinite().all())
        if len(differences):
            self.largest = max(self.largest, float(differences.max()))


@dataclass
class _Candidate:
    """The model in one format, and what was seen of it: clean first, then each patch set."""

    compute: ComputeFormat
    live: LiveModel
    variant: Variant
    tallies: list[tuple[str, _Tally]] = field(default_factory=list)

    @classmethod
    def of(
        cls, clean: CleanModel, patches: PatchSource | None, compute: ComputeFormat
    ) -> "_Candidate":
        live = LiveModel(clean, patches, resident_bytes=0, compute=compute)
        return cls(compute, live, live.active)

    def turn_to(self, wanted: Request) -> None:
        self.variant = self.live.variant(wanted)
        self.tallies.append((_named(wanted), _Tally()))

    def logits(self, images: Tensor) -> Tensor:
        return self.live.predict_mixed(images, [self.variant] * len(images)).float()

    def compare(self, expected: Tensor, images: Tensor) -> None:
        found = expected if self.compute == FLOAT32 else self.logits(images)
        self.tallies[-1][1].add(expected, found)

    def summary(self, images: int) -> FormatAgreement:
        shares = [100 * tally.agreeing / images for _, tally in self.tallies]
        lowest = min(shares)
        finite = all(tally.finite for _, tally in self.tallies)
        largest = max(tally.largest for _, tally in self.tallies)
        return FormatAgreement(
            name=self.compute.name,
            images=images,
            top1_agreement=shares[0],
            patch_sets=len(shares) - 1,
            lowest_agreement=lowest,
            lowest_with=self.tallies[shares.index(lowest)][0],
            largest_difference=float(f"{largest:.3g}") if finite else None,
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
    reference = _Candidate.of(clean, patches, FLOAT32)
    reference.logits(images[:2])  # refuses images that do not fit
    lanes = [
        lane
        for compute in formats
        if (lane := _try_format(clean, patches, compute, images[:2])) is not None
    ]
    sets: list[Request] = [{}, *requests]
    starts = range(0, len(images), _BATCH)
    with progress.task("compute formats", total=len(sets) * len(starts)) as task:
        for wanted in sets:
            for lane in (reference, *lanes):
                lane.turn_to(wanted)
            for start in starts:
                batch = images[start : start + _BATCH]
                expected = reference.logits(batch)
                for lane in lanes:
                    lane.compare(expected, batch)
                task.advance(note=_named(wanted) or "clean model")
    return tuple(lane.summary(len(images)) for lane in lanes)


def _try_format(
    clean: CleanModel, patches: PatchSource | None, compute: ComputeFormat, images: Tensor
) -> _Candidate | None:
    """The model in a format; None if it cannot be computed in it."""
    try:
        lane = _Candidate.of(clean, patches, compute)
        lane.logits(images)
    except ConfigError:
        return None
    return lane


def _top(logits: Tensor) -> Tensor:
    """The place of the largest logit, int64 [B]; -1 where one is NaN or infinite."""
    return logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1)


def _named(wanted: Request) -> str:
    return ",".join(
        name if alpha is None else f"{name}={alpha!r}" for name, alpha in wanted.items()
    )
