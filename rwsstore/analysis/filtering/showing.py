"""A filtering report as a table, as curves, and as a map of the scores."""

from math import ceil
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from rwsstore.analysis.filtering.curves import FILTERS, FilterCurve
from rwsstore.analysis.filtering.report import SCORES, FilteringReport, LayerScores, normalized
from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes
from rwsstore.evaluation import Figure
from rwsstore.evaluation.report import interval_note
from rwsstore.models import short_names

_SAID = 3
"""Undefined scores that are listed one by one."""


def filtering_text(report: FilteringReport) -> RenderableType:
    """Lay a report out: a line a layer, means over the filters, and the verdict."""
    return Group(Text(_title(report), style="italic"), _table(report), *map(Text, _notes(report)))


def _table(report: FilteringReport) -> Table:
    decides, filters = report.options.decides, report.curves.options.filters
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    heads = [f"{decides.upper()}, {name}" for name in filters] if len(filters) > 1 else []
    for head in (*heads, *(f"{name.upper()}, mean" for name in SCORES)):
        table.add_column(head, justify="right")
    table.add_column("verdict")
    names = short_names([layer.layer for layer in report.scores])
    for name, layer in zip(names, report.scores, strict=True):
        each = [layer.by_filter[one][decides] for one in filters] if heads else []
        cells = [_plain(figure) for figure in each]
        cells += [_with_interval(layer.mean[score]) for score in SCORES]
        table.add_row(name, *cells, _verdict(layer))
    return table


def _title(report: FilteringReport) -> str:
    curves = report.curves
    return (
        f"Weights filtered away, {curves.images:,} images of {report.dataset}: accuracy "
        f"{curves.accuracy:.1f} %, under FGSM (ε = {curves.options.epsilon:g}) "
        f"{curves.attacked_accuracy:.1f} %"
    )


def _plain(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:z.2f}"


def _with_interval(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return _plain(figure)
    half = (figure.interval.high - figure.interval.low) / 2
    return f"{figure.value:z.2f} ± {half:.2f}"


def _verdict(layer: LayerScores) -> str:
    if layer.kind is None:
        return "not defined"
    return layer.kind if layer.clear else f"{layer.kind}?"


def _notes(report: FilteringReport) -> list[str]:
    options = report.options
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    tolerance, decides = options.tolerance, options.decides.upper()
    verdict = f"mean of {decides} below {-tolerance:g}, between, above {tolerance:g}"
    integrals = "S1 = ∫(A − D), S2 = ∫(B − D), S3 = ∫(B − A) over the thresholds as 0…1"
    curves = "A: accuracy, B: accuracy under FGSM, D: share of the weights that remain"
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
            _draw_curve(axes, curve, report)
            if step == 0:
                axes.set_ylabel(name, fontsize=8)
            if row == 0:
                axes.set_title(f"{curve.filter}, {FILTERS[curve.filter].title}", fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    figure.supxlabel("threshold, from the first to the last", fontsize=8)
    return png_bytes(figure)


def draw_map(report: FilteringReport) -> bytes:
    """Draw every score of every layer: red is fragile, blue antifragile."""
    filters = report.curves.options.filters
    own = (*filters, "mean") if len(filters) > 1 else filters
    names = short_names(report.curves.layers)
    values = torch.stack([_row(layer, own) for layer in report.scores])
    figure = new_figure(3.6 + 0.52 * len(own) * len(SCORES), 1.6 + 0.28 * len(names))
    axes = figure.add_subplot()
    top = max(0.1, float(values.nan_to_num(0.0).abs().max()))
    columns = list(own) * len(SCORES)
    drawn = draw_heat_map(axes, values, names, columns, "RdBu", (-top, top))
    number_cells(axes, values, "z.2f", dark=0.6 * top)
    _head(axes, len(own))
    _verdicts(axes, report)
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.14)
    return png_bytes(figure)


def _draw_curve(axes: Any, curve: FilterCurve, report: FilteringReport) -> None:
    axes.set_visible(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
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


def _row(layer: LayerScores, columns: tuple[str, ...]) -> Tensor:
    sources = [layer.mean if name == "mean" else layer.by_filter[name] for name in columns]
    figures = [source[score] for score in SCORES for source in sources]
    values = [float("nan") if figure is None else figure.value for figure in figures]
    return torch.tensor(values, dtype=torch.float64)


def _head(axes: Any, width: int) -> None:
    """Name the scores above their columns, with lines between them."""
    titles = ("S1 = ∫(A − D)", "S2 = ∫(B − D)", "S3 = ∫(B − A)")
    for place, title in enumerate(titles):
        if place:
            axes.axvline(place * width - 0.5, color="#222222", linewidth=1)
        axes.annotate(
            title, (place * width + (width - 1) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip


def _verdicts(axes: Any, report: FilteringReport) -> None:
    """Write what each layer is to the right of its row."""
    for place, layer in enumerate(report.scores):
        word = layer.kind or "not defined"
        axes.annotate(
            word if layer.clear or layer.kind is None else f"{word}?", (1.0, place),
            xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=7, annotation_clip=False,
        )  # fmt: skip
