"""The few numbers that matter on one's own machine, within a given time."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rwsstore.errors import ConfigError
from rwsstore.models import Classifier
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.runtime import ComputeFormat, LiveModel, PatchBag, Variant, fastest_format
from rwsstore.speed.measuring import (
    Action,
    Clock,
    Pairs,
    count_flops,
    find_floors,
    inner_for,
    repeats_within,
    time_pairs,
    timings,
)
from rwsstore.speed.report import (
    BATCHES,
    BenchReport,
    Composing,
    FormatSpeed,
    PatchSpeed,
    this_machine,
)
from rwsstore.speed.subjects import (
    anonymous_memory,
    copying,
    measure_memory,
    patched_names,
    predicting,
    random_images,
    strengths,
    switching,
)

_COMPOSED = 10
_MIXED = 8

_FLOORS, _FORMATS, _EACH = 0.15, 0.5, 0.06
"""Shares of the time: for the floors, for all formats, for each figure of patches."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured.

    Attributes:
        name: of the model, for the report.
        model: the clean model.
        patches: made for it; not composed; each may be given other strengths than the recommended.
        origin: where they come from, for the report.
        offered: the compute formats to choose from.
    """

    name: str
    model: Classifier
    patches: Sequence[Patch]
    origin: str
    offered: Sequence[ComputeFormat]


def bench(
    subject: Subject,
    *,
    seconds: float = 45.0,
    progress: Reporter = SILENT,
    clock: Clock = time.perf_counter,
) -> BenchReport:
    """Measure what the machine, the model and its patches do, with the threads that torch has.

    Args:
        subject: model and patches.
        seconds: that it may take, about; a large model on a small box takes longer.
        progress: where to report.
        clock: seconds, ever rising.

    Raises:
        ConfigError: no patch, or no format that the model can be computed in.
        RwsError: a patch cannot be put on the model.
    """
    if not subject.patches:
        raise ConfigError("no patch to measure with: give at least one")
    model, size = subject.model, subject.model.spec.input_size
    images = random_images(max(BATCHES), size)
    with progress.task("measuring", total=2 + len(subject.offered) + 4) as task:
        task.advance(0, note="the machine")
        floors = find_floors(_FLOORS * seconds, clock=clock)
        task.advance(note="compute formats")
        chosen = fastest_format(model, subject.offered, size=size, clock=clock).chosen
        task.advance()
        flops = count_flops(model, images[:1])
        share = _FORMATS * seconds / len(subject.offered)
        formats = []
        for one in subject.offered:
            rates = _images_per_second(LiveModel(model, compute=one), images, share, clock)
            gflops, best = flops / 1e9 * max(filter(None, rates.values())), floors.best(one.dtype)
            of_best = None if best is None else gflops / best
            formats.append(FormatSpeed(one.name, one == chosen, rates, gflops, of_best))
            task.advance(note=one.name)
        patches = _Patches(subject, chosen, images, _EACH * seconds, clock).measure(task)
    return BenchReport(
        machine=this_machine(),
        model=subject.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=flops,
        floors=floors,
        formats=tuple(formats),
        patches=patches,
    )


def _images_per_second(
    live: LiveModel, images: Tensor, seconds: float, clock: Clock
) -> dict[int, float | None]:
    """The clean model's rate by the size of the batch; None where there is no time for a few."""
    found: dict[int, float | None] = {}
    an_image = 0.0
    for batch in BATCHES:
        if 4 * batch * an_image > seconds:
            found[batch] = None
            continue
        predict = predicting(live, images[:batch], [live.active] * batch)
        repeats = repeats_within(predict, seconds / len(BATCHES), clock=clock)
        taken = statistics.median(timings(predict, repeats=repeats, warm_up=0, clock=clock))
        an_image, found[batch] = taken / batch, batch / taken
    return found


@dataclass(frozen=True)
class _Patches:
    """Measures what patches cost, in one format."""

    subject: Subject
    compute: ComputeFormat
    images: Tensor
    seconds: float
    clock: Clock

    def measure(self, task: Task) -> PatchSpeed:
        patches = self.subject.patches
        live = LiveModel(self.subject.model, PatchBag(patches), compute=self.compute)
        task.advance(0, note="switching")
        switched, copied = self._put_on(live, patches[:1])
        task.advance(note="composing")
        composed, _ = self._put_on(live, patches[:_COMPOSED])
        task.advance(note="mixed batches")
        new, ready = self._first(live)
        images, variants = self.images[:_MIXED], self._variants(live, _MIXED)
        single = predicting(live, images, variants[:1] * _MIXED)
        mixed = self._pairs(single, predicting(live, images, variants)).ratio.median
        task.advance(note="memory")
        memory = None
        if anonymous_memory() is not None:
            memory = measure_memory(self.subject.model, patches, compute=self.compute)
        task.advance()
        return PatchSpeed(
            origin=self.subject.origin,
            weights=sum(math.prod(payload.shape) for payload in patches[0].tensors.values()),
            copy_milliseconds=copied,
            switching=switched,
            composing=composed,
            new_milliseconds=new,
            ready_milliseconds=ready,
            mixed=mixed,
            memory=memory,
        )

    def _put_on(self, live: LiveModel, patches: Sequence[Patch]) -> tuple[Composing, float]:
        copy = copying(self.subject.model, patched_names(patches))
        pairs = self._pairs(switching(live, patches), copy, inner=inner_for(copy, clock=self.clock))
        taken, copied = pairs.milliseconds
        return Composing(len(patches), taken, pairs.ratio.median), copied

    def _first(self, live: LiveModel) -> tuple[float, float]:
        """Milliseconds of a prediction with a patch set that is new, and with one that is not."""
        image, patch = self.images[:1], self.subject.patches[0]
        alphas = strengths(patch)
        ready = live.variant({patch.name: next(alphas)})

        def predict_new() -> Tensor:
            return live.predict_mixed(image, [live.variant({patch.name: next(alphas)})])

        return self._pairs(predict_new, predicting(live, image, [ready])).milliseconds

    def _variants(self, live: LiveModel, count: int) -> list[Variant]:
        """So many different ones, of all the patches in turn."""
        steps = [(patch.name, strengths(patch)) for patch in self.subject.patches]
        chosen = [steps[number % len(steps)] for number in range(count)]
        return [live.variant({name: next(alphas)}) for name, alphas in chosen]

    def _pairs(self, measured: Action, against: Action, *, inner: int = 1) -> Pairs:
        share = self.seconds / 2 / inner
        repeats = min(repeats_within(one, share, clock=self.clock) for one in (measured, against))
        return time_pairs(
            measured, against, repeats=repeats, warm_up=1, clock=self.clock, inner=inner
        )
