"""Pictures of the study of parameter corruption."""

__all__ = ["draw_components", "draw_layers", "draw_tables", "draw_types"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.paper.pages import new_figure, save_figure
from benchmarks.paper.study import Study
from rwsstore.probes.parameter_corruption import CorruptionReport, draw_curves, draw_losses

_SCALE = "points of accuracy lost"


def draw_tables(
    study: Study, tables: Mapping[str, CorruptionReport], few: Mapping[str, CorruptionReport]
) -> Path:
    """Accuracy against ε: networks to the right, n = k above, n small below."""
    figure = new_figure(4.2 * len(tables) + 1.6, 6.4)
    grid = figure.subplots(2, len(tables), squeeze=False, sharey=True)
    for line, reports in zip(grid, (tables, few), strict=True):
        for axes, (name, report) in zip(line, reports.items(), strict=True):
            draw_curves(axes, report)
            axes.set_title(name, fontsize=10, loc="left")
        for axes in line[1:]:
            axes.set_ylabel("")
        line[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return save_figure(study, figure)


def draw_layers(study: Study, reports: Mapping[str, CorruptionReport]) -> Path:
    """Layers × ε, a network beside the other."""
    height = max(len(report.groups) for report in reports.values())
    figure = new_figure(4.6 * len(reports), 1.4 + 0.28 * height)
    grid = figure.subplots(1, len(reports), squeeze=False)[0]
    for axes, (name, report) in zip(grid, reports.items(), strict=True):
        drawn = draw_losses(axes, report, report.ns[0], top=_top(reports))
        axes.set_title(f"{name}: p = 2, n = {report.ns[0]}", fontsize=9)
    figure.colorbar(drawn, ax=list(grid), shrink=0.8, label=_SCALE)
    return save_figure(study, figure, "layers")


def draw_types(study: Study, reports: Mapping[str, CorruptionReport]) -> Path:
    """Types × ε: networks downwards, each n to the right."""
    columns = max(len(report.ns) for report in reports.values())
    figure = new_figure(1.6 + 3.4 * columns, 1.0 + 1.7 * len(reports))
    grid = figure.subplots(len(reports), columns, squeeze=False)
    for line, (name, report) in zip(grid, reports.items(), strict=True):
        for place, (axes, n) in enumerate(zip(line, report.ns, strict=True)):
            drawn = draw_losses(axes, report, n, named=not place, top=_top(reports))
            axes.set_title(f"{name}: p = ∞, n = {n}", fontsize=9)
    _colour_bar(figure, drawn, grid)
    return save_figure(study, figure, "types")


def draw_components(study: Study, report: CorruptionReport) -> Path:
    """The modules of one network × ε."""
    figure = new_figure(2.8 + 0.6 * len(report.epsilons), 1.4 + 0.2 * len(report.groups))
    axes = figure.add_subplot()
    drawn = draw_losses(axes, report, report.ns[0])
    axes.set_title(f"p = ∞, n = {report.ns[0]}", fontsize=9)
    figure.colorbar(drawn, ax=axes, shrink=0.5, label=_SCALE)
    return save_figure(study, figure, "components")


def _top(reports: Mapping[str, CorruptionReport]) -> float:
    """One scale for all networks."""
    return max(report.clean.accuracy - 100 / report.classes for report in reports.values())


def _colour_bar(figure: Any, drawn: Any, grid: Any) -> None:
    figure.colorbar(drawn, ax=[axes for line in grid for axes in line], shrink=0.8, label=_SCALE)
