"""A filtering report as a table, as curves, and as a map of the scores."""

from math import ceil
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import Tensor

from rwsstore.drawing import draw_heat_map, frame, mark_groups, new_figure, png_bytes
from rwsstore.models import short_names
from rwsstore.probes.filtering.curves import FILTERS, FilterCurve
from rwsstore.probes.filtering.report import MEAN, SCORES, FilteringReport, normalized
from rwsstore.tables import Column, Table, interval_note, with_spread

_INTEGRALS = ("S1 = ∫(A − D)", "S2 = ∫(B − D)", "S3 = ∫(B − A)")
_SAID = 3
"""Undefined scores that are listed one by one."""


def filtering_text(report: FilteringReport) -> RenderableType:
    """Lay a report out: a line a layer, means over the filters, and the verdict."""
    curves = report.curves
    decides, filters = report.options.decides, curves.options.filters
    each = filters if len(filters) > 1 else ()
    columns = (
        Column("layer", left=True),
        *(Column(f"{decides.upper()}, {name}", form="z.2f", spare=1) for name in each),
        *(Column(f"{name.upper()}, mean") for name in SCORES),
        Column("verdict", left=True),
    )
    rows = []
    for name, layer in zip(short_names(curves.layers), report.scores, strict=True):
        own = [layer.by_filter[one][decides] for one in each]
        means = [
            figure and with_spread(figure.value, figure.interval, "z.2f")
            for figure in layer.mean.values()
        ]
        rows.append((name, *(one and one.value for one in own), *means, layer.verdict))
    title = (
        f"Weights filtered away, {curves.images:,} images of {report.dataset}: accuracy "
        f"{curves.accuracy:.1f} %, under FGSM (ε = {curves.options.epsilon:g}) "
        f"{curves.attacked_accuracy:.1f} %"
    )
    return Group(Text(title, style="italic"), Table(columns, rows), *map(Text, _notes(report)))


def _notes(report: FilteringReport) -> list[str]:
    options = report.options
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    tolerance, decides = options.tolerance, options.decides.upper()
    verdict = f"mean of {decides} below {-tolerance:g}, between, above {tolerance:g}"
    curves = "A: accuracy, B: accuracy under FGSM, D: share of the weights that remain"
    integrals = f"{', '.join(_INTEGRALS)} over the thresholds as 0…1"
    lines = [f"{counts} ({verdict}).", f"{integrals}; {curves}."]
    if not options.above_chance:
        lines.append("Accuracies are taken as they are, chance included.")
    if options.resampling.resamples:
        note = interval_note(options.resampling.confidence)
        lines.append(f"{note}; ?: it reaches beyond the verdict, or there is none.")
    said = report.undefined()
    if len(said) > _SAID:
        said = (*said[:_SAID], f"and {len(said) - _SAID} more that are not defined (--json)")
    return lines + list(said)


_CLEAN, _ATTACKED, _REMAINING = "#1f6fb2", "#d1762b", "#444444"
_ROWS = 8
"""Layers below each other before another block begins."""
_LIMITS = (-0.35, 1.35)


def draw_filtering(report: FilteringReport) -> dict[str, bytes]:
    """Draw both pictures; PNG files by name: `curves` and `map`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return {"curves": draw_curves(report), "map": draw_map(report)}


def draw_curves(report: FilteringReport) -> bytes:
    """Draw A, B and D of every layer under every filter, normalised as they are scored."""
    layers, filters = report.curves.layers, report.curves.options.filters
    blocks = ceil(len(layers) / _ROWS)
    rows = ceil(len(layers) / blocks)
    columns = blocks * len(filters)
    figure = new_figure(1.0 + 1.9 * columns, 1.0 + 1.25 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flatten():
        axes.set_visible(False)
    for place, (layer, name) in enumerate(zip(layers, short_names(layers), strict=True)):
        row, first = place % rows, place // rows * len(filters)
        for step, curve in enumerate(report.curves.of(layer)):
            axes = grid[row, first + step]
            head = f"{curve.filter}, {FILTERS[curve.filter].title}"
            _draw_curve(axes, curve, report)
            frame(axes, y="" if step else name, title="" if row else head)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    figure.supxlabel("threshold, from the first to the last", fontsize=8)
    return png_bytes(figure)


def draw_map(report: FilteringReport) -> bytes:
    """Draw every score of every layer: red is fragile, blue antifragile."""
    filters = report.curves.options.filters
    own = (*filters, MEAN) if len(filters) > 1 else filters
    names = short_names(report.curves.layers)
    sources = [
        [layer.mean if name == MEAN else layer.by_filter[name] for name in own]
        for layer in report.scores
    ]
    figures = [[source[score] for score in SCORES for source in row] for row in sources]
    values = torch.tensor(
        [[torch.nan if one is None else one.value for one in row] for row in figures],
        dtype=torch.float64,
    )
    figure = new_figure(3.6 + 0.52 * len(own) * len(SCORES), 1.6 + 0.28 * len(names))
    axes = figure.add_subplot()
    top = max(0.1, float(values.nan_to_num(0.0).abs().max()))
    columns = list(own) * len(SCORES)
    drawn = draw_heat_map(axes, values, names, columns, "RdBu", (-top, top), form="z.2f")
    mark_groups(axes, (), [title for title in _INTEGRALS for _ in own])
    for place, layer in enumerate(report.scores):
        axes.annotate(
            layer.verdict, (1.0, place), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=7, annotation_clip=False,
        )  # fmt: skip
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.14)
    return png_bytes(figure)


def _draw_curve(axes: Any, curve: FilterCurve, report: FilteringReport) -> None:
    axes.set_visible(True)
    places = torch.linspace(0, 1, len(curve.remaining)).tolist()
    floor = report.options.floor(report.curves.classes)
    lines: tuple[tuple[Tensor, str, str, str], ...] = (
        (curve.remaining, _REMAINING, ":", "D, weights that remain"),
        (normalized(curve.accuracy, floor), _CLEAN, "-", "A, accuracy"),
        (normalized(curve.attacked_accuracy, floor), _ATTACKED, "-", "B, accuracy under FGSM"),
    )
    for values, colour, style, label in lines:
        axes.plot(places, values.tolist(), style, color=colour, linewidth=1.2, label=label)
    axes.set_ylim(*_LIMITS)
