"""A report on bit flips as one picture."""

__all__ = ["draw_bitflips"]

from collections.abc import Sequence
from typing import Any

from rwsstore.analysis.bitflips.deciles import DECILES
from rwsstore.analysis.bitflips.report import BitflipReport, Tally
from rwsstore.analysis.names import short_names
from rwsstore.drawing import new_figure, png_bytes

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
    _deciles(first, report.total)
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


def _deciles(axes: Any, total: Tally) -> None:
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
