"""The report as tables for people, and as a picture."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes
from rwsstore.evaluation.adversarial.report import (
    WORST_CASE,
    AdversarialReport,
    Budget,
    Compared,
    Masked,
    Measured,
    ModelUnderAttack,
    Transfer,
    budget_name,
)
from rwsstore.evaluation.report import interval_note, with_spread
from rwsstore.files import write_atomic

_NORMS = {"linf": "L∞", "l2": "L2"}


def attack_table(report: AdversarialReport) -> RenderableType:
    """Lay a report out: accuracies, then the transfer in the worst case, then a few lines.

    Every attack's transfer, and every interval, is in the report.
    """
    title = (
        f"Accuracy in % under attack, {report.images:,} images of {escape(report.dataset)}, "
        f"budgets in {_NORMS[report.norm]}"
    )
    parts: list[RenderableType] = [f"[italic]{title}[/italic]", _accuracies(report)]
    worst = [matrix for matrix in report.transfer if matrix.attack == WORST_CASE]
    if worst:
        heading = "Transfer: made on one model, tried on another; worst case of the attacks"
        parts += [f"[italic]{heading}[/italic]", _transfer(worst)]
    return Group(*parts, *_summary(report))


def _accuracies(report: AdversarialReport) -> Table:
    table = Table()
    table.add_column("model", overflow="fold")
    table.add_column("budget", no_wrap=True)
    for name in report.attacks:
        table.add_column(escape(name), justify="right", no_wrap=True)
    table.add_column("worst\ncase", justify="right", no_wrap=True)
    several = len(report.models) > 1
    if several:
        first = next(iter(report.models))
        table.add_column(f"against\n{escape(first)}", justify="right", no_wrap=True)
    for name, model in report.models.items():
        blank = [""] * len(report.attacks)
        table.add_row(escape(name), "0 (clean)", *blank, *_both(model.clean, several=several))
        for budget in model.budgets:
            table.add_row("", budget_name(budget.epsilon), *_cells(budget, several=several))
        table.add_section()
    return table


def _cells(budget: Budget, *, several: bool) -> list[str]:
    attacks = [f"{found.accuracy:.1f}" for found in budget.attacks.values()]
    return [*attacks, *_both(budget.worst_case, several=several)]


def _both(found: Compared, *, several: bool) -> list[str]:
    """An accuracy and, where there is something to compare with, the gain."""
    cells = [with_spread(found.accuracy, found.interval)]
    if several:
        gain = found.gain
        cells.append("" if gain is None else with_spread(gain, found.gain_interval, "+.1f"))
    return cells


def _transfer(matrices: list[Transfer]) -> Table:
    table = Table()
    table.add_column("budget", no_wrap=True)
    table.add_column("made on", overflow="fold")
    for name in matrices[0].accuracies:
        table.add_column(f"tried on\n{escape(name)}", justify="right", overflow="fold")
    for matrix in matrices:
        for number, (made_on, line) in enumerate(matrix.accuracies.items()):
            label = "" if number else budget_name(matrix.epsilon)
            cells = [f"{found.accuracy:.1f}" for found in line.values()]
            table.add_row(label, escape(made_on), *cells)
        table.add_section()
    return table


def _summary(report: AdversarialReport) -> list[str]:
    counted = "right without an attack, and under every attack at this and all smaller budgets"
    lines = [f"worst case: {counted}"]
    for name in report.models:
        found = [one for one in report.masked if one.model == name]
        if found:
            lines.append(_warning(max(found, key=lambda one: one.points)))
    if report.resamples:
        lines.append(interval_note(report.confidence))
    return lines


def _warning(found: Masked) -> str:
    return (
        f"{escape(found.model)} at {budget_name(found.epsilon)}: perturbations made on "
        f"{escape(found.made_on)} fool it more often than its own, by {found.points:.1f} points: "
        "its own miss some, as where gradients are masked"
    )


if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1f6fb2", "#d9822b", "#3f9b5c", "#8a5fb0", "#b0413e", "#6b7280", "#c2a33a", "#3aa5a8")
_WORST = "#111111"
_COLUMNS = 4
_WIDTH, _HEIGHT = 3.0, 2.7
"""Of one panel, in inches."""
_LABEL = 22
"""Characters of a model's name; a patch set may be long."""


def plot_attacks(report: AdversarialReport, path: Path) -> None:
    """Draw accuracy against the budget, and the transfer in the worst case, as PNG.

    There is a panel for each model; with several models there is one more that compares their
    worst cases, and a heat map for each budget. Bands are the intervals, if there are.

    Args:
        report: to draw.
        path: of the picture; replaced in one step if it exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RwsError: as `write_atomic` does.
    """
    worst = [matrix for matrix in report.transfer if matrix.attack == WORST_CASE]
    curves = _grid(len(report.models) + (1 if worst else 0))
    height = 0.8 + _HEIGHT * curves[0]
    if not worst:
        figure = new_figure(max(0.8 + _WIDTH * curves[1], 5.0), height)
        _draw_curves(figure, report, curves)
    else:
        maps, side = _grid(len(worst)), 1.6 + 0.4 * len(report.models)
        heights = [height, 0.8 + (side + 0.4) * maps[0]]
        width = 0.8 + max(_WIDTH * curves[1], max(_WIDTH, side) * maps[1])
        figure = new_figure(width, sum(heights))
        upper, lower = figure.subfigures(2, 1, height_ratios=heights)
        _draw_curves(upper, report, curves)
        _draw_transfer(lower, worst, maps)
    write_atomic(path, png_bytes(figure))


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns of so many panels."""
    rows = ceil(count / _COLUMNS)
    return rows, ceil(count / rows)


def _draw_curves(figure: Any, report: AdversarialReport, grid: tuple[int, int]) -> None:
    several = len(report.models) > 1
    panels = _panels(figure, len(report.models) + several, grid, sharey=True)
    for axes, (name, model) in zip(panels, report.models.items(), strict=False):
        _draw_model(axes, report, model)
        axes.set_title(_short(name), fontsize=9)
    if several:
        for number, (name, model) in enumerate(report.models.items()):
            found = [budget.worst_case for budget in model.budgets]
            _draw_curve(panels[-1], report, model, found, _short(name), number)
        panels[-1].set_title("worst case of each", fontsize=9)
    for axes in {panels[0], panels[-1]}:
        axes.legend(fontsize=7, frameon=False)
    for axes in panels:
        _scale(axes, report)
    figure.supylabel("accuracy in %", fontsize=9)


def _panels(figure: Any, count: int, grid: tuple[int, int], *, sharey: bool) -> "list[Axes]":
    panels = list(figure.subplots(*grid, sharey=sharey, squeeze=False).flatten())
    for axes in panels[count:]:
        axes.set_visible(False)
    return panels[:count]


def _draw_model(axes: "Axes", report: AdversarialReport, model: ModelUnderAttack) -> None:
    """A line for each attack, over a broad one for the worst case."""
    worst = [model.clean, *(budget.worst_case for budget in model.budgets)]
    places = (0.0, *report.epsilons)
    heights = [one.accuracy for one in worst]
    axes.plot(places, heights, label=WORST_CASE, color=_WORST, linewidth=5, alpha=0.35)
    known = [one.interval for one in worst if one.interval is not None]
    if len(known) == len(worst):
        low, high = [one.low for one in known], [one.high for one in known]
        axes.fill_between(places, low, high, color=_WORST, alpha=0.1, linewidth=0)
    for number, attack in enumerate(report.attacks):
        found = [budget.attacks[attack] for budget in model.budgets]
        _draw_curve(axes, report, model, found, attack, number)


def _draw_curve(
    axes: "Axes",
    report: AdversarialReport,
    model: ModelUnderAttack,
    found: Sequence[Measured],
    label: str,
    number: int,
) -> None:
    """From the clean accuracy at budget 0 on."""
    axes.plot(
        (0.0, *report.epsilons),
        [one.accuracy for one in (model.clean, *found)],
        label=label,
        color=_COLOURS[number % len(_COLOURS)],
        marker="o",
        markersize=3,
        linewidth=1.2,
    )


def _scale(axes: "Axes", report: AdversarialReport) -> None:
    axes.set_ylim(0, 100)
    names = ["0", *map(budget_name, report.epsilons)]
    axes.set_xticks((0.0, *report.epsilons), names, fontsize=7, rotation=60)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_transfer(figure: Any, matrices: Sequence[Transfer], grid: tuple[int, int]) -> None:
    names = list(matrices[0].accuracies)
    labels, blank = [_short(name) for name in names], [""] * len(names)
    panels = _panels(figure, len(matrices), grid, sharey=False)
    for place, (axes, matrix) in enumerate(zip(panels, matrices, strict=True)):
        values = torch.tensor(
            [[matrix.accuracies[one][other].accuracy for other in names] for one in names]
        )
        rows = blank if place % grid[1] else labels
        drawn = draw_heat_map(axes, values, rows, labels, "Blues", (0.0, 100.0))
        number_cells(axes, values, ".0f", dark=60, size=8)
        axes.set_title(f"{WORST_CASE}, {budget_name(matrix.epsilon)}", fontsize=9)
    panels[0].set_ylabel("made on", fontsize=9)
    figure.supxlabel("tried on", fontsize=9)
    figure.colorbar(drawn, ax=panels, shrink=0.7).set_label("accuracy in %", fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"
