"""A report on critical layers as tables for people."""

__all__ = ["criticality_text"]

import math
from collections.abc import Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.criticality.report import CriticalityReport
from rwsstore.analysis.criticality.stability import BatchStability, Stability
from rwsstore.analysis.names import short_names


def criticality_text(report: CriticalityReport) -> RenderableType:
    """Lay a report out: a line a layer, the choice in words, and how stable it is."""
    parts: list[RenderableType] = [Text(_title(report), style="italic"), _table(report)]
    parts += map(Text, _notes(report))
    if report.stability is not None:
        parts += [_batches(report, report.stability), *map(Text, _batch_notes(report.stability))]
    return Group(*parts)


def _title(report: CriticalityReport) -> str:
    options = report.options
    return (
        f"Criticality of {len(report.rows)} layers, {report.images:,} images of {report.dataset}: "
        f"PGD-{options.steps}, ε = {options.epsilon:g}"
    )


def _table(report: CriticalityReport) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("", justify="right")
    table.add_column("layer", overflow="fold")
    for head in ("weakness", "criticality", "rank", "parameters"):
        table.add_column(head, justify="right")
    table.add_column(f"k = {report.k}")
    names = short_names([row.name for row in report.rows])
    for name, row in zip(names, report.rows, strict=True):
        table.add_row(
            str(row.number), name, f"{row.weakness:.3g}", _index(row.index), str(row.rank),
            f"{row.share:.2%}", "chosen" if row.chosen else "",
            style="bold" if row.chosen else None,
        )  # fmt: skip
    return table


def _index(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "∞"


def _notes(report: CriticalityReport) -> list[str]:
    names = short_names([row.name for row in report.rows])
    said = ", ".join(f"{names[row.number - 1]} ({row.number})" for row in report.chosen)
    weakness = "how far the attack moves what a layer gives out, ‖F(x + δ) − F(x)‖₂/N in the mean"
    index = "weakness over that of the layer before, for layer 1 its weakness"
    return [
        f"Most critical: {said}; {report.chosen_share:.1%} of all parameters.",
        f"Weakness: {weakness}.",
        f"Criticality: {index}.",
    ]


def _batches(report: CriticalityReport, stability: Stability) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("images", justify="right")
    table.add_column(f"most frequent top {stability.k}")
    for head in ("draws", "found again", "same set", "spread"):
        table.add_column(head, justify="right")
    for batch in stability.batches:
        names, count = batch.most_frequent
        table.add_row(
            f"{batch.size:,}", _numbers(report.numbers(names)), f"{count} of {stability.draws}",
            f"{batch.recovered:.0%}", f"{batch.same:.0%}", _spread(batch),
        )  # fmt: skip
    table.add_row(f"all {stability.reference.images:,}", _numbers(report.numbers(stability.top)))
    return table


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _spread(batch: BatchStability) -> str:
    """Standard deviation of an index over its mean: that of most layers, and the largest."""
    shares = [
        deviation / mean
        for mean, deviation in zip(batch.means, batch.deviations, strict=True)
        if mean > 0 and math.isfinite(deviation)
    ]
    return f"{median(shares):.1%}, up to {max(shares):.1%}" if shares else "-"


def _batch_notes(stability: Stability) -> list[str]:
    reference = f"top {stability.k} over all {stability.reference.images:,} images"
    spread = "standard deviation of an index over its mean: the layers' median, and the largest"
    return [
        f"{stability.draws} seeded draws of each size, as many images of each class as can be.",
        f"Found again: share of the {reference} that a batch has too; same set: draws with all.",
        f"Spread: {spread}.",
    ]
