"""The report as tables for people, and as a picture."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.text import Text

from rwsstore.drawing import draw_heat_map, frame, new_figure, panels, png_bytes, rows_of
from rwsstore.files import write_atomic
from rwsstore.measure.adversarial.report import (
    WORST_CASE,
    AdversarialReport,
    ComparedAccuracy,
    MeasuredAccuracy,
    ModelUnderAttack,
    Transfer,
    budget_name,
)
from rwsstore.tables import Column, Table, interval_note, with_spread

_NORMS = {"linf": "L∞", "l2": "L2"}


def attack_table(report: AdversarialReport) -> RenderableType:
    """Lay a report out: accuracies, then the transfer in the worst case, then a few lines.

    Every attack's transfer, and every interval, is in the report.
    """
    title = (
        f"Accuracy in % under attack, {report.images:,} images of {report.dataset}, "
        f"budgets in {_NORMS[report.norm]}"
    )
    parts: list[RenderableType] = [Text(title, style="italic"), _accuracies(report)]
    worst = [matrix for matrix in report.transfer if matrix.attack == WORST_CASE]
    if worst:
        heading = "Transfer: made on one model, tried on another; worst case of the attacks"
        parts += [Text(heading, style="italic"), _transfer(worst)]
    return Group(*parts, *map(Text, _summary(report)))


def _accuracies(report: AdversarialReport) -> Table:
    first, *others = report.models
    columns = (
        Column("model", left=True, once=True),
        Column("budget", left=True),
        *(Column(name, form=".1f", spare=1) for name in report.attacks),
        Column("worst\ncase"),
        *([Column(f"against\n{first}")] if others else []),
    )
    rows: list[tuple[object, ...]] = []
    for name, model in report.models.items():
        blank = [""] * len(report.attacks)
        rows.append((name, "0 (clean)", *blank, *_both(model.clean)))
        for budget in model.budgets:
            attacks = [found.accuracy for found in budget.attacks.values()]
            worst = _both(budget.worst_case)
            rows.append((name, budget_name(budget.epsilon), *attacks, *worst))
    return Table(columns, rows)


def _both(found: ComparedAccuracy) -> tuple[str, str]:
    """An accuracy and, where there is something to compare with, the gain."""
    gain = "" if found.gain is None else with_spread(found.gain, found.gain_interval, "+.1f")
    return with_spread(found.accuracy, found.interval), gain


def _transfer(matrices: list[Transfer]) -> Table:
    columns = (
        Column("budget", left=True, once=True),
        Column("made on", left=True),
        *(Column(f"tried on\n{name}", form=".1f") for name in matrices[0].accuracies),
    )
    rows = [
        (budget_name(matrix.epsilon), made_on, *(found.accuracy for found in line.values()))
        for matrix in matrices
        for made_on, line in matrix.accuracies.items()
    ]
    return Table(columns, rows)


def _summary(report: AdversarialReport) -> list[str]:
    counted = "right without an attack, and under every attack at this and all smaller budgets"
    lines = [f"worst case: {counted}"]
    for name in report.models:
        found = [one for one in report.masked if one.model == name]
        if found:
            most = max(found, key=lambda one: one.points)
            lines.append(
                f"{name} at {budget_name(most.epsilon)}: perturbations made on {most.made_on} fool "
                f"it more often than its own, by {most.points:.1f} points: its own miss some, as "
                "where gradients are masked"
            )
    if report.resamples:
        lines.append(interval_note(report.confidence))
    return lines


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

    Raises:
        MissingExtraError: matplotlib is not installed.
        RwsError: as `write_atomic` does.
    """
    worst = [matrix for matrix in report.transfer if matrix.attack == WORST_CASE]
    count = len(report.models) + (1 if worst else 0)
    rows = rows_of(count, _COLUMNS)
    width, height = 0.8 + _WIDTH * ceil(count / rows), 0.8 + _HEIGHT * rows
    if not worst:
        figure = new_figure(max(width, 5.0), height)
        _draw_curves(figure, report)
    else:
        rows, side = rows_of(len(worst), _COLUMNS), 1.6 + 0.4 * len(report.models)
        across = ceil(len(worst) / rows)
        heights = [height, 0.8 + (side + 0.4) * rows]
        figure = new_figure(max(width, 0.8 + max(_WIDTH, side) * across), sum(heights))
        upper, lower = figure.subfigures(2, 1, height_ratios=heights)
        _draw_curves(upper, report)
        _draw_transfer(lower, worst, across)
    write_atomic(path, png_bytes(figure))


def _draw_curves(figure: Any, report: AdversarialReport) -> None:
    """A panel for each model and, of several, one more that compares their worst cases."""
    several = len(report.models) > 1
    grid = panels(figure, len(report.models) + several, _COLUMNS, sharey=True)
    for number, (axes, (name, model)) in enumerate(zip(grid, report.models.items(), strict=False)):
        worst = [budget.worst_case for budget in model.budgets]
        _draw_model(axes, report, model, worst)
        frame(axes, title=_short(name))
        if several:
            _draw_curve(grid[-1], report, [model.clean, *worst], _short(name), number)
    if several:
        frame(grid[-1], title="worst case of each")
    for axes in {grid[0], grid[-1]}:
        axes.legend(fontsize=7, frameon=False)
    names = ["0", *map(budget_name, report.epsilons)]
    for axes in grid:
        axes.set_ylim(0, 100)
        axes.set_xticks((0.0, *report.epsilons), names, fontsize=7, rotation=60)
    figure.supylabel("accuracy in %", fontsize=9)


def _draw_model(
    axes: Any, report: AdversarialReport, model: ModelUnderAttack, worst: Sequence[MeasuredAccuracy]
) -> None:
    """A line for each attack, over a broad one for the worst case."""
    places, found = (0.0, *report.epsilons), [model.clean, *worst]
    heights = [one.accuracy for one in found]
    axes.plot(places, heights, label=WORST_CASE, color=_WORST, linewidth=5, alpha=0.35)
    known = [one.interval for one in found if one.interval is not None]
    if len(known) == len(found):
        low, high = [one.low for one in known], [one.high for one in known]
        axes.fill_between(places, low, high, color=_WORST, alpha=0.1, linewidth=0)
    for number, attack in enumerate(report.attacks):
        own = [budget.attacks[attack] for budget in model.budgets]
        _draw_curve(axes, report, [model.clean, *own], attack, number)


def _draw_curve(
    axes: Any, report: AdversarialReport, found: Sequence[MeasuredAccuracy], label: str, number: int
) -> None:
    """From the clean accuracy at budget 0 on."""
    axes.plot(
        (0.0, *report.epsilons),
        [one.accuracy for one in found],
        label=label,
        color=_COLOURS[number % len(_COLOURS)],
        marker="o",
        markersize=3,
        linewidth=1.2,
    )


def _draw_transfer(figure: Any, matrices: Sequence[Transfer], across: int) -> None:
    names = list(matrices[0].accuracies)
    labels, blank = [_short(name) for name in names], [""] * len(names)
    grid = panels(figure, len(matrices), _COLUMNS)
    for place, (axes, matrix) in enumerate(zip(grid, matrices, strict=True)):
        values = torch.tensor(
            [[matrix.accuracies[one][other].accuracy for other in names] for one in names]
        )
        rows = blank if place % across else labels
        drawn = draw_heat_map(
            axes, values, rows, labels, "Blues", (0.0, 100.0), form=".0f", digits=8
        )
        axes.set_title(f"{WORST_CASE}, {budget_name(matrix.epsilon)}", fontsize=9)
    grid[0].set_ylabel("made on", fontsize=9)
    figure.supxlabel("tried on", fontsize=9)
    figure.colorbar(drawn, ax=grid, shrink=0.7).set_label("accuracy in %", fontsize=8)


def _short(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"
