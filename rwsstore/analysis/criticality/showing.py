"""A report on critical layers as tables for people, and as a bar chart."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.criticality.report import (
    BatchStability,
    CriticalityReport,
    LayerRow,
    Stability,
)
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.models import short_names


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


_CHOSEN, _OTHER, _LINE = "#d1762b", "#8ea9c1", "#444444"
_NAMED = 24
"""With more layers, numbers stand below the bars instead of names."""
_LISTED = 12
"""Chosen layers that are named one by one."""


def draw_criticality(report: CriticalityReport) -> bytes:
    """Draw the index of each layer as PNG, the chosen ones in another colour.

    A line at 1 divides layers that make features weaker than they were from those that do not.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows, names = report.rows, short_names([row.name for row in report.rows])
    figure = new_figure(min(15.0, max(6.0, 2.0 + 0.42 * len(rows))), 4.2)
    axes = figure.add_subplot()
    height = _height(rows)
    heights = [row.index if math.isfinite(row.index) else height for row in rows]
    for chosen, colour in ((True, _CHOSEN), (False, _OTHER)):
        places = [row.number for row in rows if row.chosen == chosen]
        label = _legend(report, names) if chosen else "other layers"
        shown = [heights[place - 1] for place in places]
        axes.bar(places, shown, 0.8, color=colour, label=label)
    for row in rows:
        if row.chosen or not math.isfinite(row.index):
            _number(axes, row, heights[row.number - 1])
    axes.axhline(1.0, color=_LINE, linestyle=":", linewidth=1)
    _label(axes, report, names)
    axes.set_ylim(0, 1.12 * height)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)
    return png_bytes(figure)


def _height(rows: tuple[LayerRow, ...]) -> float:
    """Of the tallest bar; infinite ones are as tall."""
    return max([1.0, *(row.index for row in rows if math.isfinite(row.index))])


def _number(axes: Any, row: LayerRow, height: float) -> None:
    text = str(row.number) if math.isfinite(row.index) else f"{row.number}: ∞"
    axes.annotate(
        text, (row.number, height), xytext=(0, 2), textcoords="offset points", ha="center",
        fontsize=7,
    )  # fmt: skip


def _legend(report: CriticalityReport, names: list[str]) -> str:
    """Name the chosen layers."""
    lines = [f"{row.number}  {names[row.number - 1]}" for row in report.chosen[:_LISTED]]
    if len(report.chosen) > _LISTED:
        lines.append(f"and {len(report.chosen) - _LISTED} more")
    return "\n".join([f"most critical, k = {report.k}:", *lines])


def _label(axes: Any, report: CriticalityReport, names: list[str]) -> None:
    count = len(names)
    if count <= _NAMED:
        axes.set_xticks(range(1, count + 1), names, rotation=90)
    else:
        step = 5 if count <= 60 else 10
        places = [1, *range(step, count + 1, step)]
        axes.set_xticks(places, [str(place) for place in places])
        axes.set_xlabel("layer, in the order of the forward pass", fontsize=8)
    axes.set_xlim(0.3, count + 0.7)
    axes.set_ylabel("criticality index", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    options = report.options
    axes.set_title(
        f"{report.images:,} images of {report.dataset}, PGD-{options.steps}, "
        f"ε = {options.epsilon:g}",
        fontsize=9,
    )
