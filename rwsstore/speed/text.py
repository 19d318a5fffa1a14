"""The report of `rws bench` as tables for people."""

__all__ = ["bench_tables"]

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.speed.report import BATCHES, BenchReport, Composing, FormatSpeed


def bench_tables(report: BenchReport) -> RenderableType:
    """Lay a report out: the machine, the model in each format, its patches."""
    return Group(*_heading(report), _formats(report), _patches(report))


def _heading(report: BenchReport) -> list[str]:
    machine, floors = report.machine, report.floors
    where = f"[bold]{escape(machine.processor)}[/], {machine.threads} of {machine.cores} cores"
    work = f"{report.flops / 1e9:.3g} GFLOP"
    return [
        f"{where}, {machine.instructions}, torch {machine.torch}",
        f"  copies {floors.copy:.1f} GB/s, read and written",
        f"  float32: {_rates(floors.gemm, floors.convolution)}",
        f"  bfloat16: {_rates(floors.gemm_bf16, floors.convolution_bf16)}",
        f"[bold]{escape(report.model)}[/], {report.parameters:,} parameters, {work} an image",
    ]


def _rates(gemm: float | None, convolution: float | None) -> str:
    if gemm is None or convolution is None:
        return "the processor has no instructions for it"
    return f"multiplies matrices at {gemm:,.0f} GFLOP/s, convolves at {convolution:,.0f}"


def _formats(report: BenchReport) -> Table:
    table = Table(title="The model, images a second", title_justify="left")
    if len(report.formats) == 1:
        table.caption = "No other is offered: rws card measures how far others agree with it."
    table.add_column("compute format", no_wrap=True)
    for batch in BATCHES:
        table.add_column(f"batch {batch}", justify="right")
    table.add_column("GFLOP/s", justify="right")
    table.add_column("of the machine's", justify="right")
    table.add_column("")
    for speed in report.formats:
        table.add_row(*_format(speed))
    return table


def _format(speed: FormatSpeed) -> list[str]:
    rates = [speed.images_per_second[batch] for batch in BATCHES]
    return [
        speed.name,
        *("-" if rate is None else _number(rate) for rate in rates),
        f"{speed.gflops:,.0f}",
        "-" if speed.share is None else f"{speed.share:.0%}",
        "[green]rws serve takes this[/]" if speed.chosen else "",
    ]


def _patches(report: BenchReport) -> Table:
    patches, memory = report.patches, report.patches.memory
    title = f"Patches ({escape(patches.origin)}), {patches.weights:,} weights each"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    table.add_row("switch to a patch set", *_composing(patches.switching))
    table.add_row(f"compose {patches.composing.patches} patches", *_composing(patches.composing))
    table.add_row(
        "predict one image with a new patch set",
        f"{patches.new_milliseconds:.3g} ms",
        f"{patches.ready_milliseconds:.3g} ms with one that is ready",
    )
    table.add_row(
        "a batch of 8 with 8 patch sets", f"{patches.mixed:.0%}", "of the throughput with one"
    )
    if memory is None:
        table.add_row("memory of one more resident patch set", "-", "this system does not tell")
    else:
        table.add_row(
            "memory of one more resident patch set",
            f"{memory.per_patch_set / 2**20:.2f} MiB",
            f"{memory.per_patch_set / memory.full_model:.1%} of a full model's",
        )
    return table


def _composing(one: Composing) -> tuple[str, str]:
    return f"{one.milliseconds:.3g} ms", f"{one.copies:.1f} plain copies of the same weights"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
