"""A report on critical layers as a bar chart."""

__all__ = ["draw_criticality"]

import math
from typing import Any

from rwsstore.analysis.criticality.report import CriticalityReport, LayerRow
from rwsstore.analysis.names import short_names
from rwsstore.drawing import new_figure, png_bytes

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
