"""A report on critical layers as tables for people, and as a bar chart."""

import math
from collections.abc import Iterator, Sequence
from statistics import median

from rich.console import Group, RenderableType
from rich.text import Text

from rwsstore.drawing import frame, new_figure, png_bytes
from rwsstore.models import short_names
from rwsstore.probes.criticality.report import BatchStability, CriticalityReport, Stability
from rwsstore.tables import Column, Table


def criticality_text(report: CriticalityReport) -> RenderableType:
    """Lay a report out: a line a layer, the choice in words, and how stable it is."""
    names = dict(zip(report.rows, short_names([row.name for row in report.rows]), strict=True))
    columns = (
        Column("", "number"),
        Column("layer", names.get, left=True),
        Column("weakness", "weakness", ".3g"),
        Column("criticality", "index", ".3f"),
        Column("rank", "rank"),
        Column("parameters", "share", ".2%"),
        Column(f"k = {report.k}", lambda row: "chosen" if row.chosen else "", left=True),
    )
    title = f"Criticality of {len(report.rows)} layers, {_measured(report)}"
    said = ", ".join(f"{names[row]} ({row.number})" for row in report.chosen)
    weakness = "how far the attack moves what a layer gives out, ‖F(x + δ) − F(x)‖₂/N in the mean"
    parts: list[RenderableType] = [
        Text(title, style="italic"),
        Table(columns, report.rows, bold=lambda row: row.chosen),
        Text(f"Most critical: {said}; {report.chosen_share:.1%} of all parameters."),
        Text(f"Weakness: {weakness}."),
        Text("Criticality: weakness over that of the layer before, for layer 1 its weakness."),
    ]
    if report.stability is not None:
        parts += _stability(report, report.stability)
    return Group(*parts)


def _measured(report: CriticalityReport) -> str:
    options = report.options
    attack = f"PGD-{options.steps}, ε = {options.epsilon:g}"
    return f"{report.images:,} images of {report.dataset}: {attack}"


def _stability(report: CriticalityReport, stability: Stability) -> Iterator[RenderableType]:
    columns = (
        Column("images"),
        Column(f"most frequent top {stability.k}", left=True),
        Column("draws"),
        Column("found again", form=".0%"),
        Column("same set", form=".0%"),
        Column("spread"),
    )
    rows: list[tuple[object, ...]] = []
    for batch in stability.batches:
        names, count = batch.most_frequent
        rows.append(
            (
                f"{batch.size:,}", _numbers(report.numbers(names)), f"{count} of {stability.draws}",
                batch.recovered, batch.same, _spread(batch),
            )
        )  # fmt: skip
    every = f"all {stability.reference.images:,}"
    rows.append((every, _numbers(report.numbers(stability.top)), "", "", "", ""))
    yield Table(columns, rows)
    reference = f"top {stability.k} over all {stability.reference.images:,} images"
    spread = "standard deviation of an index over its mean: the layers' median, and the largest"
    drawn = f"{stability.draws} seeded draws of each size"
    yield Text(f"{drawn}, as many images of each class as can be.")
    yield Text(f"Found again: share of the {reference} that a batch has too.")
    yield Text("Same set: draws with all of it.")
    yield Text(f"Spread: {spread}.")


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
    finite = [row.index for row in rows if math.isfinite(row.index)]
    tallest = max([1.0, *finite])  # bars without end are as tall
    heights = [row.index if math.isfinite(row.index) else tallest for row in rows]
    for chosen, colour in ((True, _CHOSEN), (False, _OTHER)):
        places = [row.number for row in rows if row.chosen == chosen]
        label = _legend(report, names) if chosen else "other layers"
        shown = [heights[place - 1] for place in places]
        axes.bar(places, shown, 0.8, color=colour, label=label)
    for row, height in zip(rows, heights, strict=True):
        if row.chosen or math.isinf(row.index):
            axes.annotate(
                f"{row.number}: ∞" if math.isinf(row.index) else str(row.number),
                (row.number, height), xytext=(0, 2), textcoords="offset points", ha="center",
                fontsize=7,
            )  # fmt: skip
    axes.axhline(1.0, color=_LINE, linestyle=":", linewidth=1)
    count, below = len(names), ""
    if count <= _NAMED:
        axes.set_xticks(range(1, count + 1), names, rotation=90)
    else:
        step = 5 if count <= 60 else 10
        axes.set_xticks([1, *range(step, count + 1, step)])
        below = "layer, in the order of the forward pass"
    frame(axes, x=below, y="criticality index", title=_measured(report))
    axes.set_xlim(0.3, count + 0.7)
    axes.set_ylim(0, 1.12 * tallest)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)
    return png_bytes(figure)


def _legend(report: CriticalityReport, names: list[str]) -> str:
    """Name the chosen layers."""
    lines = [f"{row.number}  {names[row.number - 1]}" for row in report.chosen[:_LISTED]]
    if len(report.chosen) > _LISTED:
        lines.append(f"and {len(report.chosen) - _LISTED} more")
    return "\n".join([f"most critical, k = {report.k}:", *lines])
