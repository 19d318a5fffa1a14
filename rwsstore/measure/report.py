"""What an evaluation found, as data, as a table and as a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rwsstore.config import Frozen
from rwsstore.corruptions import CORRUPTIONS, GROUPS
from rwsstore.drawing import frame, mark_groups, new_figure, png_bytes
from rwsstore.files import write_atomic
from rwsstore.measure.bootstrap import Interval
from rwsstore.tables import Column, Table, csv_text, ends, interval_note, with_ends, with_spread


class Pair(Frozen):
    """Accuracies in percent, of the clean model and of the clean model with its patch.

    Attributes:
        clean_model: without the patch.
        patched: with it.
        clean_model_interval: of `clean_model`; None, as every interval, without resamples.
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
        clean_accuracy: TA of the clean model, in percent.
        resamples: draws of the images behind the intervals; 0: there are none.
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
                    yield (
                        bits, name, severity, result.patch, pair.clean_model, pair.patched,
                        *ends(pair.clean_model_interval), *ends(pair.patched_interval),
                        *ends(pair.gain_interval),
                    )  # fmt: skip


_COLUMNS = (
    "bits corruption severity patch clean_model:.3f patched:.3f clean_model_low:.3f "
    "clean_model_high:.3f patched_low:.3f patched_high:.3f gain_low:.3f gain_high:.3f"
)


def report_table(report: EvaluationReport) -> RenderableType:
    """Lay a report out as a table with a few lines beneath it.

    TA and the means come with half the width of their interval; every interval is in the report.
    """
    severities = ", ".join(map(str, report.severities))
    title = f"Accuracy in %, {report.images:,} images of {report.dataset}, severity {severities}"
    return Group(Text(title, style="italic"), _accuracies(report), *map(Text, _summary(report)))


def _accuracies(report: EvaluationReport) -> Table:
    # Headings are broken by hand: seven columns of numbers then fit into a hundred characters.
    columns = (
        Column("corruption", left=True),
        Column("clean\nmodel", form=".1f"),
        *(
            Column(
                "with its\npatch" if bits == "stored" else f"its patch,\n{bits} bits", form=".1f"
            )
            for bits in report.by_bits
        ),
        Column("clean\nimages,\npatch on", form=".1f", spare=1),
        *(Column(f"BN,\nbatch\n{batch}", form=".1f", spare=2) for batch in report.rival),
    )
    widths, rival = list(report.by_bits.values()), list(report.rival.values())
    clean = with_spread(report.clean_accuracy, report.clean_accuracy_interval)
    others = [found.clean_accuracy for found in rival]
    rows: list[tuple[object, ...]] = [("none", clean, *[""] * len(widths), "", *others)]
    for name, first in report.corruptions.items():
        patched: list[object] = ["no patch"] * len(widths)
        if first.patch is not None:
            patched = [width.corruptions[name].patched for width in widths]
        costs = "" if first.patch is None else first.patched_clean_accuracy
        others = [result.corruptions[name] for result in rival]
        rows.append((name, first.clean_model, *patched, costs, *others))
    without = with_spread(report.mean.clean_model, report.mean.clean_model_interval)
    means = [with_spread(width.mean.patched, width.mean.patched_interval) for width in widths]
    rows.append(("mean", without, *means, "", *(result.mean for result in rival)))
    return Table(columns, rows)


def _summary(report: EvaluationReport) -> list[str]:
    lines = []
    patches = sum(result.patch is not None for result in report.corruptions.values())
    for bits, result in report.by_bits.items():
        share = result.patch_payload_bytes / report.model_bytes
        label = "as stored" if bits == "stored" else f"{bits} bits"
        gap = "no gap"
        if result.gap_recovered is not None:
            gap = with_ends(result.gap_recovered, result.gap_recovered_interval, ".0f", 100)
        lines.append(f"{label}: gap recovered {gap}")
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


_CLEAN, _PATCHED, _LINE = "#b7bdc6", "#1f6fb2", "#444444"
_FEW = 5
"""The picture is never narrower than for so many corruptions: the legend needs the room."""
_MANY = 9
"""From so many corruptions on bars are narrower and names slant, so that print stays large
enough to read where the picture is shown at the width of a page."""


def plot_report(report: EvaluationReport, path: Path) -> None:
    """Draw accuracy with and without its patch for each corruption, as PNG.

    The corruptions are ordered by group; thin lines on the bars are the intervals, if there are.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RwsError: as `write_atomic` does.
    """
    order = list(GROUPS)
    names = sorted(report.corruptions, key=lambda name: order.index(CORRUPTIONS[name].group))
    many = len(names) >= _MANY
    figure = new_figure(
        1.6 + 0.5 * len(names) if many else 2.2 + 0.75 * max(len(names), _FEW), 4.8 if many else 4.2
    )
    axes = figure.add_subplot()
    _draw_bars(axes, report, names)
    label = "clean model on clean images"
    axes.axhline(report.clean_accuracy, label=label, color=_LINE, linestyle="--", linewidth=1)
    if (band := report.clean_accuracy_interval) is not None:
        axes.axhspan(band.low, band.high, color=_LINE, alpha=0.12, linewidth=0, zorder=0)
    axes.set_ylim(0, 100)
    frame(axes, y="accuracy in %", size=10)
    _name_places(axes, names, many=many)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    write_atomic(path, png_bytes(figure))


def _draw_bars(axes: Any, report: EvaluationReport, names: Sequence[str]) -> None:
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
            if interval is not None:
                axes.plot([place] * 2, [interval.low, interval.high], color=_LINE, linewidth=1)
            # At the foot of the bar, where no line crosses it; dark where it looks out above.
            seen = ink if height > 6 else "black"
            axes.text(place, 1.5, f"{height:.0f}", ha="center", va="bottom", color=seen, fontsize=8)


def _name_places(axes: Any, names: Sequence[str], *, many: bool) -> None:
    places = list(range(len(names)))
    margin = 0.6 + max(0, _FEW - len(names)) / 2  # so that few bars do not grow fat
    axes.set_xlim(-margin, len(names) - 1 + margin)
    if not many:
        axes.set_xticks(places, [name.replace("_", "\n") for name in names], fontsize=9)
        return
    axes.set_xticks(
        places, [name.replace("_", " ") for name in names], fontsize=9, rotation=40, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    groups = [CORRUPTIONS[name].group for name in names]
    mark_groups(axes, (), groups, size=9, colour="#cccccc")
