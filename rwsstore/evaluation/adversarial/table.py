"""The report as tables for people."""

__all__ = ["attack_table"]

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.evaluation.adversarial.budgets import budget_name
from rwsstore.evaluation.adversarial.report import (
    WORST_CASE,
    AdversarialReport,
    Budget,
    Compared,
    Masked,
    Transfer,
)
from rwsstore.evaluation.writing import interval_note, with_spread

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
