"""The report as a table for people, and as a picture."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.evaluation.bootstrap import Interval
from rwsstore.evaluation.report import EvaluationReport, StoredResult, interval_note, with_spread
from rwsstore.files import write_atomic


def report_table(report: EvaluationReport) -> RenderableType:
    """Lay a report out as a table with a few lines beneath it.

    TA and the means come with half the width of their interval; every interval is in the report.
    """
    severities = ", ".join(map(str, report.severities))
    title = (
        f"Accuracy in %, {report.images:,} images of {escape(report.dataset)}, "
        f"severity {severities}"
    )
    return Group(f"[italic]{title}[/italic]", _accuracies(report), *_summary(report))


def _accuracies(report: EvaluationReport) -> Table:
    table = Table()
    # Headings are broken by hand: seven columns of numbers then fit into a hundred characters.
    table.add_column("corruption", no_wrap=True)
    table.add_column("clean\nmodel", justify="right")
    for bits in report.by_bits:
        label = "with its\npatch" if bits == "stored" else f"its patch,\n{bits} bits"
        table.add_column(label, justify="right")
    table.add_column("clean\nimages,\npatch on", justify="right")
    for batch in report.rival:
        table.add_column(f"BN,\nbatch\n{batch}", justify="right")
    for row in _rows(report):
        table.add_row(*row)
        if row[0] == "none":
            table.add_section()
    return table


def _rows(report: EvaluationReport) -> list[list[str]]:
    widths = list(report.by_bits.values())
    rival = list(report.rival.values())
    clean = ["none", with_spread(report.clean_accuracy, report.clean_accuracy_interval)]
    others = [f"{found.clean_accuracy:.1f}" for found in rival]
    rows = [[*clean, *[""] * len(widths), "", *others]]
    for name, first in report.corruptions.items():
        if first.patch is None:
            patched, costs = ["no patch"] * len(widths), ""
        else:
            patched = [f"{width.corruptions[name].patched:.1f}" for width in widths]
            costs = f"{first.patched_clean_accuracy:.1f}"
        others = [f"{result.corruptions[name]:.1f}" for result in rival]
        rows.append([name, f"{first.clean_model:.1f}", *patched, costs, *others])
    without = with_spread(report.mean.clean_model, report.mean.clean_model_interval)
    means = [with_spread(width.mean.patched, width.mean.patched_interval) for width in widths]
    others = [f"{result.mean:.1f}" for result in rival]
    rows.append(["mean", without, *means, "", *others])
    return rows


def _summary(report: EvaluationReport) -> list[str]:
    lines = []
    patches = sum(result.patch is not None for result in report.corruptions.values())
    for bits, result in report.by_bits.items():
        share = result.patch_payload_bytes / report.model_bytes
        label = "as stored" if bits == "stored" else f"{bits} bits"
        lines.append(f"{label}: gap recovered {_gap(result)}")
        lines.append(
            f"{label}: {patches} patches, {result.patch_payload_bytes:,} bytes "
            f"({share:.1%} of the model's {report.model_bytes:,}), files "
            f"{result.patch_file_bytes:,}"
        )
    if report.rival:
        lines.append("BN: BatchNorm re-estimated on the test stream, no patch")
    if report.resamples:
        lines.append(interval_note(report.confidence))
    if "frost" in report.corruptions:
        lines.append(f"frost: {report.frost_source}")
    return lines


def _gap(result: StoredResult) -> str:
    if result.gap_recovered is None:
        return "no gap"
    interval, gap = result.gap_recovered_interval, f"{100 * result.gap_recovered:.0f} %"
    if interval is None:
        return gap
    return f"{gap} ({100 * interval.low:.0f} to {100 * interval.high:.0f})"


if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLEAN, _PATCHED, _LINE = "#b7bdc6", "#1f6fb2", "#444444"
_FEW = 5
"""The picture is never narrower than for so many corruptions: the legend needs the room."""
_MANY = 9
"""From so many corruptions on bars are narrower and names slant, so that print stays large
enough to read where the picture is shown at the width of a page."""


def plot_report(report: EvaluationReport, path: Path) -> None:
    """Draw accuracy with and without its patch for each corruption, as PNG.

    The corruptions are ordered by group; thin lines on the bars are the intervals, if there are.

    Args:
        report: to draw.
        path: of the picture; replaced in one step if it exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RwsError: as `write_atomic` does.
    """
    names = _by_group(report)
    figure = new_figure(*_size(len(names)))
    axes = figure.add_subplot()
    _draw_bars(axes, report, names)
    _draw_clean(axes, report)
    _name_places(axes, names)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy in %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    write_atomic(path, png_bytes(figure))


def _size(count: int) -> tuple[float, float]:
    """Width and height in inches."""
    if count < _MANY:
        return 2.2 + 0.75 * max(count, _FEW), 4.2
    return 1.6 + 0.5 * count, 4.8


def _by_group(report: EvaluationReport) -> list[str]:
    groups = list(dict.fromkeys(row.group for row in CORRUPTIONS.values()))
    return sorted(report.corruptions, key=lambda name: groups.index(CORRUPTIONS[name].group))


def _draw_bars(axes: "Axes", report: EvaluationReport, names: Sequence[str]) -> None:
    results = [report.corruptions[name] for name in names]
    clean = [(result.clean_model, result.clean_model_interval) for result in results]
    patched = [(result.patched, result.patched_interval) for result in results]
    for label, colour, ink, shift, bars in (
        ("clean model", _CLEAN, "black", -0.2, clean),
        ("with its patch", _PATCHED, "white", 0.2, patched),
    ):
        places = [place + shift for place in range(len(names))]
        heights = [height for height, _ in bars]
        axes.bar(places, heights, 0.38, label=label, color=colour)
        for place, (height, interval) in zip(places, bars, strict=True):
            _draw_interval(axes, place, interval)
            # At the foot of the bar, where no line crosses it; dark where it looks out above.
            seen = ink if height > 6 else "black"
            axes.text(place, 1.5, f"{height:.0f}", ha="center", va="bottom", color=seen, fontsize=8)


def _draw_interval(axes: "Axes", place: float, interval: Interval | None) -> None:
    if interval is not None:
        axes.plot([place] * 2, [interval.low, interval.high], color=_LINE, linewidth=1)


def _draw_clean(axes: "Axes", report: EvaluationReport) -> None:
    """TA of the clean model: a line over all corruptions, its interval a band."""
    label = "clean model on clean images"
    axes.axhline(report.clean_accuracy, label=label, color=_LINE, linestyle="--", linewidth=1)
    if (band := report.clean_accuracy_interval) is not None:
        axes.axhspan(band.low, band.high, color=_LINE, alpha=0.12, linewidth=0, zorder=0)


def _name_places(axes: "Axes", names: Sequence[str]) -> None:
    places = list(range(len(names)))
    margin = 0.6 + max(0, _FEW - len(names)) / 2  # so that few bars do not grow fat
    axes.set_xlim(-margin, len(names) - 1 + margin)
    if len(names) < _MANY:
        axes.set_xticks(places, [name.replace("_", "\n") for name in names], fontsize=9)
        return
    axes.set_xticks(
        places, [name.replace("_", " ") for name in names], fontsize=9, rotation=40, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    first = 0
    for group, members in groupby(names, key=lambda name: CORRUPTIONS[name].group):
        count = len(list(members))
        if first:
            axes.axvline(first - 0.5, color=_LINE, linewidth=0.5, alpha=0.5)
        axes.text(first + (count - 1) / 2, 101, group, ha="center", va="bottom", fontsize=9)
        first += count
