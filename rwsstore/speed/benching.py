"""`rws bench`: the few numbers that matter on one's own machine, within a given time."""

import math
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from rwsstore import __version__, runtime
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.speed import measuring, subjects
from rwsstore.speed.measuring import Action, Clock, Floors, Pairs
from rwsstore.speed.subjects import MemoryUse, anonymous_memory, measure_memory
from rwsstore.tables import Column, Table

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """What a reader of figures wants to know of where they were measured.

    Attributes:
        processor: as it calls itself.
        cores: that the machine has.
        threads: that torch computes with.
        instructions: the widest vectors that torch makes use of ("AVX512").
        bf16: whether the processor computes in bfloat16.
    """

    processor: str
    cores: int
    threads: int
    instructions: str
    bf16: bool
    torch: str
    rwsstore: str


def this_machine(*, cpuinfo: Path = _CPUINFO) -> Machine:
    """Describe the machine that this runs on, and torch as it is set up now.

    Args:
        cpuinfo: where Linux tells the processor's name.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return Machine(
        processor=next(filter(None, named), "") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        bf16=measuring.has_bf16(),
        torch=torch.__version__,
        rwsstore=__version__,
    )


BATCHES = (1, 8, 32)
"""Images in a batch."""


@dataclass(frozen=True)
class FormatSpeed:
    """How fast the clean model is in one compute format.

    Attributes:
        chosen: whether it is the one that a service would pick here.
        images_per_second: by the size of the batch; None where there was no time to measure it.
        gflops: the most that the convolutions and matrix products amounted to in a second, 10⁹.
        share: of the machine's rate in that arithmetic; None where the processor has none.
    """

    name: str
    chosen: bool
    images_per_second: dict[int, float | None]
    gflops: float
    share: float | None


@dataclass(frozen=True)
class Composing:
    """What putting patches on costs, codes decoded already and no variant ready.

    Attributes:
        patches: that go on together.
        copies: the same, in plain copies of the tensors that they touch.
    """

    patches: int
    milliseconds: float
    copies: float


@dataclass(frozen=True)
class PatchSpeed:
    """What patches cost here, in the format that a service would pick.

    Attributes:
        origin: where the patches come from.
        weights: parameters that the first of them touches.
        copy_milliseconds: a plain copy of those.
        switching: one patch.
        composing: several together.
        new_milliseconds: predicting one image with a patch set that was never used before.
        ready_milliseconds: with one that was.
        mixed: throughput of a batch of 8 with as many patch sets, over that with one.
        memory: of resident patch sets; None where the system does not tell.
    """

    origin: str
    weights: int
    copy_milliseconds: float
    switching: Composing
    composing: Composing
    new_milliseconds: float
    ready_milliseconds: float
    mixed: float
    memory: MemoryUse | None


@dataclass(frozen=True)
class BenchReport:
    """All of it.

    Attributes:
        machine: where.
        model: what the model is called.
        parameters: that it has.
        flops: additions and multiplications of the forward pass of one image.
        floors: what the machine could do at best.
        formats: how fast the model is in each format that is offered.
        patches: what patches cost.
    """

    machine: Machine
    model: str
    parameters: int
    flops: int
    floors: Floors
    formats: tuple[FormatSpeed, ...]
    patches: PatchSpeed

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        found = asdict(self)
        memory = self.patches.memory
        if memory is not None:
            found["patches"]["memory"]["per_patch_set"] = memory.per_patch_set
            found["patches"]["memory"]["against_models"] = memory.against_models
        return found


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
    offered: Sequence[runtime.ComputeFormat]


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
    images = subjects.random_images(max(BATCHES), size)
    with progress.task("measuring", total=2 + len(subject.offered) + 4) as task:
        task.advance(0, note="the machine")
        floors = measuring.find_floors(_FLOORS * seconds, clock=clock)
        task.advance(note="compute formats")
        chosen = runtime.fastest_format(model, subject.offered, size=size, clock=clock).chosen
        task.advance()
        flops = measuring.count_flops(model, images[:1])
        share = _FORMATS * seconds / len(subject.offered)
        formats = []
        for one in subject.offered:
            rates = _images_per_second(runtime.LiveModel(model, compute=one), images, share, clock)
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
    live: runtime.LiveModel, images: Tensor, seconds: float, clock: Clock
) -> dict[int, float | None]:
    """The clean model's rate by the size of the batch; None where there is no time for a few."""
    found: dict[int, float | None] = {}
    an_image = 0.0
    for batch in BATCHES:
        if 4 * batch * an_image > seconds:
            found[batch] = None
            continue
        predict = subjects.predicting(live, images[:batch], [live.active] * batch)
        repeats = measuring.repeats_within(predict, seconds / len(BATCHES), clock=clock)
        taken = statistics.median(
            measuring.timings(predict, repeats=repeats, warm_up=0, clock=clock)
        )
        an_image, found[batch] = taken / batch, batch / taken
    return found


@dataclass(frozen=True)
class _Patches:
    """Measures what patches cost, in one format."""

    subject: Subject
    compute: runtime.ComputeFormat
    images: Tensor
    seconds: float
    clock: Clock

    def measure(self, task: Task) -> PatchSpeed:
        patches = self.subject.patches
        live = runtime.LiveModel(
            self.subject.model, runtime.PatchBag(patches), compute=self.compute
        )
        task.advance(0, note="switching")
        switched, copied = self._put_on(live, patches[:1])
        task.advance(note="composing")
        composed, _ = self._put_on(live, patches[:_COMPOSED])
        task.advance(note="mixed batches")
        image, alphas = self.images[:1], subjects.strengths(patches[0])
        held = live.variant({patches[0].name: next(alphas)})

        def predict_new() -> Tensor:
            return live.predict_mixed(image, [live.variant({patches[0].name: next(alphas)})])

        pairs = self._pairs(predict_new, subjects.predicting(live, image, [held]))
        new, ready = pairs.milliseconds
        steps = [(patch.name, subjects.strengths(patch)) for patch in patches]
        chosen = [steps[number % len(steps)] for number in range(_MIXED)]
        variants = [live.variant({name: next(alphas)}) for name, alphas in chosen]
        images = self.images[:_MIXED]
        single = subjects.predicting(live, images, variants[:1] * _MIXED)
        mixed = self._pairs(single, subjects.predicting(live, images, variants)).ratio.median
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

    def _put_on(self, live: runtime.LiveModel, patches: Sequence[Patch]) -> tuple[Composing, float]:
        copy = subjects.copying(self.subject.model, subjects.patched_names(patches))
        pairs = self._pairs(
            subjects.switching(live, patches),
            copy,
            inner=measuring.inner_for(copy, clock=self.clock),
        )
        taken, copied = pairs.milliseconds
        return Composing(len(patches), taken, pairs.ratio.median), copied

    def _pairs(self, measured: Action, against: Action, *, inner: int = 1) -> Pairs:
        share = self.seconds / 2 / inner
        repeats = min(
            measuring.repeats_within(one, share, clock=self.clock) for one in (measured, against)
        )
        return measuring.time_pairs(
            measured, against, repeats=repeats, warm_up=1, clock=self.clock, inner=inner
        )


def bench_tables(report: BenchReport) -> RenderableType:
    """Lay a report out: the machine, the model in each format, its patches."""
    machine, floors = report.machine, report.floors
    cores = f"{machine.threads} of {machine.cores} cores"
    size = f"{report.parameters:,} parameters, {report.flops / 1e9:.3g} GFLOP an image"
    lines = (
        f"{machine.processor}, {cores}, {machine.instructions}, torch {machine.torch}",
        f"  copies {floors.copy:.1f} GB/s, read and written",
        f"  float32: {_rates(floors.gemm, floors.convolution)}",
        f"  bfloat16: {_rates(floors.gemm_bf16, floors.convolution_bf16)}",
        f"{report.model}, {size}",
    )
    alone = "No other is offered: rws card measures how far others agree with it."
    note = [alone] if len(report.formats) == 1 else []
    formats = Table(
        (
            Column("compute\nformat", "name", left=True),
            *(Column(f"batch {batch}", partial(_rate, batch)) for batch in BATCHES),
            Column("GFLOP/s", "gflops", ",.0f", spare=1),
            Column("of the\nmachine's", "share", ".0%"),
            Column("", lambda speed: "rws serve takes this" if speed.chosen else "", left=True),
        ),
        report.formats,
        "The model, images a second",
        bold=lambda speed: speed.chosen,
    )
    return Group(*map(Text, lines), formats, *map(Text, note), _patch_table(report.patches))


def _rates(gemm: float | None, convolution: float | None) -> str:
    if gemm is None or convolution is None:
        return "the processor has no instructions for it"
    return f"multiplies matrices at {gemm:,.0f} GFLOP/s, convolves at {convolution:,.0f}"


def _rate(batch: int, speed: FormatSpeed) -> str | None:
    rate = speed.images_per_second[batch]
    if rate is None:
        return None
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _patch_table(patches: PatchSpeed) -> Table:
    rows = [
        (what, f"{one.milliseconds:.3g} ms", f"{one.copies:.1f} plain copies of the same weights")
        for what, one in (
            ("switch to a patch set", patches.switching),
            (f"compose {patches.composing.patches} patches", patches.composing),
        )
    ]
    new, ready = f"{patches.new_milliseconds:.3g} ms", f"{patches.ready_milliseconds:.3g} ms"
    rows += [
        ("predict one image with a new patch set", new, f"{ready} with one that is ready"),
        ("a batch of 8 with 8 patch sets", f"{patches.mixed:.0%}", "of the throughput with one"),
    ]
    used, share = "-", "this system does not tell"
    if (memory := patches.memory) is not None:
        used = f"{memory.per_patch_set / 2**20:.2f} MiB"
        share = f"{memory.per_patch_set / memory.full_model:.1%} of a full model's"
    rows.append(("memory of one more resident patch set", used, share))
    columns = (Column("", left=True), Column(""), Column("", left=True))
    return Table(columns, rows, f"Patches ({patches.origin}), {patches.weights:,} weights each")
