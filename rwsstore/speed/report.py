"""What `rws bench` finds and on which machine, as data and as tables for people."""

import os
import platform
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text

from rwsstore import __version__
from rwsstore.speed.measuring import Floors, has_bf16
from rwsstore.speed.subjects import MemoryUse
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
        bf16=has_bf16(),
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
    return Group(*map(Text, lines), _formats(report), *map(Text, note), _patches(report.patches))


def _rates(gemm: float | None, convolution: float | None) -> str:
    if gemm is None or convolution is None:
        return "the processor has no instructions for it"
    return f"multiplies matrices at {gemm:,.0f} GFLOP/s, convolves at {convolution:,.0f}"


def _formats(report: BenchReport) -> Table:
    columns = (
        Column("compute\nformat", "name", left=True),
        *(Column(f"batch {batch}", partial(_rate, batch)) for batch in BATCHES),
        Column("GFLOP/s", "gflops", ",.0f", spare=1),
        Column("of the\nmachine's", "share", ".0%"),
        Column("", lambda speed: "rws serve takes this" if speed.chosen else "", left=True),
    )
    title = "The model, images a second"
    return Table(columns, report.formats, title, bold=lambda speed: speed.chosen)


def _rate(batch: int, speed: FormatSpeed) -> str | None:
    rate = speed.images_per_second[batch]
    if rate is None:
        return None
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _patches(patches: PatchSpeed) -> Table:
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
