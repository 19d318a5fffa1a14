"""A probe's report as tables and as a picture."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.analysis.parameter_corruption.report import CorruptionReport, Row
from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes
from rwsstore.models import short_names


def norm_word(p: float) -> str:
    """Write p: ∞, or the number."""
    return "∞" if p == math.inf else f"{p:g}"


def number_word(n: int | None) -> str:
    """Write n: all, or the number."""
    return "all" if n is None else str(n)


def corruption_table(report: CorruptionReport) -> RenderableType:
    """Lay a report out: random against gradient-based, or groups × ε, a table for each n."""
    said = (
        f"Accuracy in % under parameter corruption, L{norm_word(report.p)}, "
        f"{report.images:,} images of {escape(report.dataset)}; {report.clean.accuracy:.1f} without"
    )
    tables = [_comparison(report)] if report.by == "table" else list(_groups(report))
    return Group(f"[italic]{said}[/italic]", *tables, *_notes(report))


def _comparison(report: CorruptionReport) -> Table:
    table = Table()
    for column in (
        "n", "ε", "random", "gradient-\nbased", "its loss\nchange", "to first\norder",
    ):  # fmt: skip
        table.add_column(column, justify="right", no_wrap=True)
    for n in report.ns:
        for row in (row for row in report.rows if row.n == n):
            found = row.gradient
            change = "not finite" if found.loss_change is None else f"{found.loss_change:+.3g}"
            table.add_row(
                number_word(n), f"{row.epsilon:g}", _random(row), f"{found.accuracy:.1f}", change,
                f"{found.first_order:+.3g}",
            )  # fmt: skip
        table.add_section()
    return table


def _groups(report: CorruptionReport) -> Iterator[Table]:
    names = dict(zip(report.groups, short_names(list(report.groups)), strict=True))
    for n in report.ns:
        table = Table(title=f"n = {number_word(n)}", title_justify="left")
        table.add_column(report.by, no_wrap=True)
        table.add_column("parameters", justify="right")
        for epsilon in report.epsilons:
            table.add_column(f"ε = {epsilon:g}", justify="right")
        table.add_column("mean drop", justify="right")
        for group, size in report.groups.items():
            cells = [_cell(row) for row in report.of(group, n)]
            drop = report.mean_drop(group, n)
            mean = "-" if drop is None else f"{100 * drop:.0f} %"
            table.add_row(escape(names[group]), f"{size:,}", *cells, mean)
        yield table


def _notes(report: CorruptionReport) -> Iterator[str]:
    draws = max(len(row.random) for row in report.rows)
    if report.by == "table":
        if draws > 1:
            yield f"random: mean of {draws} draws ± their standard deviation"
        yield f"loss changes in nats, on {report.gradient_images:,} images"
        return
    if draws:
        yield f"gradient-based; after the slash random, the mean of {draws} draws"
    yield "mean drop: share of the accuracy above chance that is lost, mean over ε"


def _cell(row: Row) -> str:
    found = f"{row.gradient.accuracy:.1f}"
    return found if row.random_accuracy is None else f"{found} / {row.random_accuracy:.1f}"


def _random(row: Row) -> str:
    if row.random_accuracy is None:
        return "-"
    spread = "" if row.random_spread is None else f" ± {row.random_spread:.1f}"
    return f"{row.random_accuracy:.1f}{spread}"


_COLOURS = ("#1f6fb2", "#d1762b", "#3f8f5b", "#8c5fa8", "#b8414b", "#7a6a53", "#2f9aa0")
_GREY = "#888888"
_WARM = "YlOrRd"
"""Warm where accuracy is lost, as in the paper."""
_CELL = 0.5, 0.26
"""Of a heat map, in inches."""


def draw_corruption(report: CorruptionReport) -> bytes:
    """Draw a report as PNG.

    By "table": accuracy against ε, a colour for each n, random draws dashed with their range.
    Else a heat map for each n, groups downwards, ε to the right, warm where accuracy is lost.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _curves(report) if report.by == "table" else _heat_maps(report)


def draw_losses(
    axes: Any,
    report: CorruptionReport,
    n: int | None,
    *,
    named: bool = True,
    top: float | None = None,
) -> Any:
    """Draw the accuracy lost by gradient-based corruption, groups × ε, into matplotlib axes.

    Args:
        axes: to draw into.
        report: of any grouping.
        n: one of the report's.
        named: write the groups' names at the left.
        top: points at the end of the scale; None: those that lead to chance.

    Returns:
        What matplotlib makes a colour bar of.
    """
    clean = report.clean.accuracy
    lost = torch.tensor(
        [
            [clean - row.gradient.accuracy for row in report.of(group, n)]
            for group in report.groups
        ]
    )  # fmt: skip
    top = max(1.0, clean - 100.0 / report.classes) if top is None else top
    names = short_names(list(report.groups)) if named else [""] * len(lost)
    epsilons = [f"{epsilon:g}" for epsilon in report.epsilons]
    drawn = draw_heat_map(axes, lost, names, epsilons, _WARM, (0.0, top))
    number_cells(axes, lost, "z.0f", dark=0.6 * top, size=7)
    axes.set_xlabel("ε", fontsize=9)
    return drawn


def draw_curves(axes: Any, report: CorruptionReport) -> None:
    """Draw accuracy against ε into matplotlib axes: gradient-based, and random with its range."""
    for number, n in enumerate(report.ns):
        colour, label = _COLOURS[number % len(_COLOURS)], f"n = {number_word(n)}"
        rows = [row for row in report.rows if row.n == n]
        places = [row.epsilon for row in rows]
        found = [row.gradient.accuracy for row in rows]
        axes.plot(places, found, "o-", ms=4, color=colour, label=f"gradient-based, {label}")
        if all(row.random for row in rows):
            every = [[one.accuracy for one in row.random] for row in rows]
            means = [row.random_accuracy for row in rows]
            axes.plot(places, means, "s--", ms=3, color=colour, label=f"random, {label}")
            axes.fill_between(
                places, [*map(min, every)], [*map(max, every)], color=colour, alpha=0.15, lw=0
            )
    axes.axhline(report.clean.accuracy, color=_GREY, lw=0.8, ls=":")
    axes.axhline(100.0 / report.classes, color=_GREY, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_ylim(0, 100)
    axes.set_xlabel("ε")
    axes.set_ylabel("accuracy in %")
    axes.spines[["top", "right"]].set_visible(False)


def _heat_maps(report: CorruptionReport) -> bytes:
    width, height = _CELL
    panels, rows = len(report.ns), len(report.groups)
    size = max(1.6, width * len(report.epsilons))
    figure = new_figure(2.8 + panels * size, 1.5 + max(1.0, height * rows))
    grid = figure.subplots(1, panels, squeeze=False)[0]
    for place, (axes, n) in enumerate(zip(grid, report.ns, strict=True)):
        drawn = draw_losses(axes, report, n, named=not place)
        axes.set_title(f"L{norm_word(report.p)}, n = {number_word(n)}", fontsize=9)
    figure.colorbar(drawn, ax=list(grid), shrink=0.8, label="points of accuracy lost")
    return png_bytes(figure)


def _curves(report: CorruptionReport) -> bytes:
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    draw_curves(axes, report)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_title(f"corruption of parameters, L{norm_word(report.p)}", fontsize=10, loc="left")
    return png_bytes(figure)
