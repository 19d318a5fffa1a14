"""A probe's report as tables for people."""

__all__ = ["corruption_table"]

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.analysis.names import short_names
from rwsstore.analysis.parameter_corruption.report import CorruptionReport, Row
from rwsstore.analysis.parameter_corruption.words import norm_word, number_word


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
