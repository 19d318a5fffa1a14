"""A probe's report as a picture: curves over ε, or groups × ε as heat maps."""

__all__ = ["draw_corruption", "draw_curves", "draw_losses"]

from typing import Any

import torch

from rwsstore.analysis.names import short_names
from rwsstore.analysis.parameter_corruption.report import CorruptionReport
from rwsstore.analysis.parameter_corruption.words import norm_word, number_word
from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes

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
