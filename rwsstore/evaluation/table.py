"""The report as a table for people."""

__all__ = ["report_table"]

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.evaluation.report import EvaluationReport, StoredResult
from rwsstore.evaluation.writing import interval_note, with_spread


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
