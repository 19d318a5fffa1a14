"""What an evaluation found, as data, as a table and as a picture."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.config import Frozen
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.evaluation.bootstrap import Interval
from rwsstore.files import write_atomic


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write CSV with a heading and Unix line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def ends(interval: Interval | None) -> tuple[str, str]:
    """Both ends for a row of CSV; no interval: empty cells."""
    return ("", "") if interval is None else (f"{interval.low:.3f}", f"{interval.high:.3f}")


def with_spread(value: float, interval: Interval | None, form: str = ".1f") -> str:
    """A figure with half the width of its interval behind it, where it has one."""
    if interval is None:
        return f"{value:{form}}"
    return f"{value:{form}} ± {(interval.high - interval.low) / 2:.1f}"


def interval_note(confidence: float) -> str:
    """What stands under a table with intervals."""
    return f"± and in brackets: the {100 * confidence:g} % bootstrap interval over the images"


class Pair(Frozen):
    """Accuracies in percent, of the clean model and of the clean model with its patch.

    Attributes:
        clean_model: without the patch.
        patched: with it.
        clean_model_interval: of `clean_model`; None, as every interval, without resamples.
        patched_interval: of `patched`.
        gain_interval: of `patched` − `clean_model`, on the same draws of the images.
    """

    clean_model: float
    patched: float
    clean_model_interval: Interval | None = None
    patched_interval: Interval | None = None
    gain_interval: Interval | None = None


class CorruptionResult(Pair):
    """One corruption, the mean over the severities.

    Attributes:
        patch: name of its patch; None where the store has none and `patched` is the clean model's.
        digest: of that patch as stored.
        patched_clean_accuracy: TA with the patch on, in percent: what it costs while it is on.
        patched_clean_accuracy_interval: of that.
        by_severity: RA for each severity.
    """

    patch: str | None
    digest: str | None
    patched_clean_accuracy: float
    patched_clean_accuracy_interval: Interval | None = None
    by_severity: dict[int, Pair]


class StoredResult(Frozen):
    """All patches at one bit width.

    Attributes:
        patch_payload_bytes: codes, scales and float32 deltas of all patches together.
        patch_file_bytes: of their whole files.
        corruptions: by name.
        mean: RA over the corruptions.
        gap_recovered: (mean patched − mean clean model) / (TA − mean clean model), a fraction;
            None where the clean model loses nothing.
        gap_recovered_interval: of that; None too where the clean model loses nothing in some draw
            of the images, because the ratio then has no bounds.
    """

    patch_payload_bytes: int
    patch_file_bytes: int
    corruptions: dict[str, CorruptionResult]
    mean: Pair
    gap_recovered: float | None
    gap_recovered_interval: Interval | None = None


class RivalResult(Frozen):
    """BatchNorm re-estimated on the test stream, one batch size.

    Attributes:
        clean_accuracy: on clean images, in percent.
        corruptions: accuracy in percent by corruption, the mean over the severities.
        mean: over the corruptions.
        clean_accuracy_interval: of `clean_accuracy`, for the batches as they were composed.
        corruption_intervals: of `corruptions`.
        mean_interval: of `mean`.
    """

    clean_accuracy: float
    corruptions: dict[str, float]
    mean: float
    clean_accuracy_interval: Interval | None = None
    corruption_intervals: dict[str, Interval] | None = None
    mean_interval: Interval | None = None


class EvaluationReport(Frozen):
    """TA and RA with and without patches.

    The fields of the first bit width stand at the top as well, for scripts that ask for one.

    Attributes:
        dataset: name of the images.
        images: how many.
        severities: of the corruptions.
        clean_accuracy: TA of the clean model, in percent.
        clean_accuracy_interval: of that.
        resamples: draws of the images behind the intervals; 0: there are none.
        confidence: of the intervals.
        model_bytes: of its tensors.
        bits: asked for; None: as stored.
        by_bits: results by bit width ("stored", or the number).
        rival: BatchNorm re-estimated on the test stream, by batch size.
        frost_source: "synthetic", or what overlays were used.
    """

    dataset: str
    images: int
    severities: tuple[int, ...]
    clean_accuracy: float
    clean_accuracy_interval: Interval | None = None
    resamples: int = 0
    confidence: float = 0.95
    model_bytes: int
    bits: int | None
    patch_payload_bytes: int
    patch_file_bytes: int
    corruptions: dict[str, CorruptionResult]
    mean: Pair
    gap_recovered: float | None
    gap_recovered_interval: Interval | None = None
    by_bits: dict[str, StoredResult]
    rival: dict[int, RivalResult]
    frost_source: str

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return self.model_dump(mode="json")

    def to_csv(self) -> str:
        """One row for each corruption, severity and bit width; no intervals: empty cells."""
        return csv_text(_COLUMNS, self._rows())

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for bits, stored in self.by_bits.items():
            for name, result in stored.corruptions.items():
                for severity, pair in result.by_severity.items():
                    yield bits, name, severity, result.patch or "", *_numbers(pair)


_COLUMNS = (
    "bits", "corruption", "severity", "patch", "clean_model", "patched", "clean_model_low",
    "clean_model_high", "patched_low", "patched_high", "gain_low", "gain_high",
)  # fmt: skip


def _numbers(pair: Pair) -> list[str]:
    cells = [f"{pair.clean_model:.3f}", f"{pair.patched:.3f}"]
    for interval in (pair.clean_model_interval, pair.patched_interval, pair.gain_interval):
        cells.extend(ends(interval))
    return cells


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
