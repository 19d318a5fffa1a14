"""A report on bit flips as tables for people, and as one picture."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.bitflips.report import DECILES, BitflipReport, Tally
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.evaluation import Figure
from rwsstore.models import short_names


def bitflip_text(report: BitflipReport) -> RenderableType:
    """Lay a report out: bits by decile, by position and by layer."""
    survey = report.survey
    title = (
        f"{report.total.flips:,} flips in {survey.format}, {survey.images:,} images of "
        f"{report.dataset}: accuracy {survey.clean_accuracy:.1f} %"
    )
    layers = short_names([tally.name for tally in report.by_layer])
    return Group(
        Text(title, style="italic"),
        _deciles(report.total),
        _groups("bit", [tally.name for tally in report.by_bit], report.by_bit),
        _groups("layer", layers, report.by_layer),
        *map(Text, _notes(report)),
    )


def _deciles(total: Tally) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for head in ("drop", "bits by RAD", "", "bits by drop above chance", ""):
        table.add_column(head, justify="right")
    for name, rad, adjusted in zip(DECILES, total.rad, total.adjusted, strict=True):
        shares = (f"{100 * count / total.flips:.2f} %" for count in (rad, adjusted))
        first, second = shares
        table.add_row(name, f"{rad:,}", first, f"{adjusted:,}", second)
    return table


def _groups(what: str, names: Sequence[str], tallies: Sequence[Tally]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(what, overflow="fold")
    for head in ("flips", "RAD > 10 %", "90-100 % above chance", "not finite"):
        table.add_column(head, justify="right")
    for name, tally in zip(names, tallies, strict=True):
        counts = (tally.erratic, tally.adjusted[-1], tally.broken)
        shares = (f"{100 * count / tally.flips:.1f} %" for count in counts)
        table.add_row(name, f"{tally.flips:,}", *shares)
    return table


def _notes(report: BitflipReport) -> list[str]:
    share = 100 * report.erratic_parameters / report.parameters
    erratic = f"{report.erratic_parameters:,} ({share:.1f} %)"
    notes = [
        f"bits that cost 90-100 % of the accuracy above chance: {_share(report.severe)}",
        f"bits with a RAD of 90-100 %: {_share(report.severe_rad)}",
        f"parameters with a flip of more than 10 % RAD: {erratic} of {report.parameters:,} tried",
    ]
    if report.severe.interval is not None:
        confidence = 100 * report.severe.resampling.confidence
        notes.append(f"in brackets: the {confidence:g} % bootstrap interval over the sampled bits")
    return notes


def _share(figure: Figure) -> str:
    if figure.interval is None:
        return f"{figure.value:.2f} %"
    return f"{figure.value:.2f} % ({figure.interval.low:.2f} to {figure.interval.high:.2f})"


_BANDS = (
    ("10-50 %", slice(1, 5), "#f2c879"),
    ("50-90 %", slice(5, 9), "#e07b39"),
    ("90-100 %", slice(9, 10), "#9e2a2b"),
)
_RAD, _ADJUSTED = "#8ea9c1", "#1f6fb2"


def draw_bitflips(report: BitflipReport) -> bytes:
    """Draw a report as PNG: bits by drop decile, then drops by bit position and by layer.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = max(len(report.by_bit), len(report.by_layer))
    figure = new_figure(13.0, max(3.6, 1.6 + 0.16 * rows))
    first, second, third = figure.subplots(1, 3)
    _draw_deciles(first, report.total)
    _bands(second, [tally.name for tally in report.by_bit], report.by_bit, "by bit position")
    names = short_names([tally.name for tally in report.by_layer])
    _bands(third, names, report.by_layer, "by layer")
    second.legend(title="drop above chance", fontsize=7, title_fontsize=7)
    survey = report.survey
    for axes in (first, second, third):
        axes.tick_params(axis="x", labelsize=7)
    first.tick_params(axis="y", labelsize=7)
    figure.suptitle(
        f"{report.total.flips:,} bit flips in {survey.format}, {survey.images:,} images, "
        f"accuracy {survey.clean_accuracy:.1f} %",
        fontsize=10,
    )
    return png_bytes(figure)


def _draw_deciles(axes: Any, total: Tally) -> None:
    """Shares on a logarithmic scale, since nearly all bits do nothing; none leaves no bar."""
    places = range(len(DECILES))
    for counts, side, colour, label in (
        (total.rad, -0.2, _RAD, "RAD"),
        (total.adjusted, 0.2, _ADJUSTED, "drop above chance"),
    ):
        shares = [100 * count / total.flips for count in counts]
        axes.bar([place + side for place in places], shares, 0.4, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_ylim(50 / total.flips, 150)
    axes.set_xticks(places, [name.removesuffix(" %") for name in DECILES], rotation=90, fontsize=7)
    axes.set_xlabel("drop, %", fontsize=8)
    axes.set_ylabel("share of bits, %", fontsize=8)
    axes.set_title("by drop", fontsize=9)
    axes.legend(fontsize=7)


def _bands(axes: Any, names: Sequence[str], tallies: Sequence[Tally], title: str) -> None:
    places = range(len(tallies))
    left = [0.0] * len(tallies)
    for label, deciles, colour in _BANDS:
        shares = [100 * sum(tally.adjusted[deciles]) / tally.flips for tally in tallies]
        axes.barh(places, shares, 0.8, left=left, color=colour, label=label)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.set_yticks(places, names, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("share of flips, %", fontsize=8)
    axes.set_title(title, fontsize=9)
