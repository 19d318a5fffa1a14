"""The report as a table for people."""

__all__ = ["report_table"]

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from rwsstore.evaluation.report import EvaluationReport


def report_table(report: EvaluationReport) -> RenderableType:
    """Lay a report out as a table with two lines beneath it."""
    return Group(_accuracies(report), *_summary(report))


def _accuracies(report: EvaluationReport) -> Table:
    severities = ", ".join(map(str, report.severities))
    dataset = escape(report.dataset)
    table = Table(
        title=f"Accuracy in %, {report.images:,} images of {dataset}, severity {severities}",
        title_justify="left",
    )
    table.add_column("corruption")
    table.add_column("clean model", justify="right")
    for bits in report.by_bits:
        label = "with its patch" if bits == "stored" else f"with its patch, {bits} bits"
        table.add_column(label, justify="right")
    table.add_column("clean images,\npatch on", justify="right")
    for batch in report.rival:
        table.add_column(f"BatchNorm,\nbatch {batch}", justify="right")
    for row in _rows(report):
        table.add_row(*row)
        if row[0] == "none":
            table.add_section()
    return table


def _rows(report: EvaluationReport) -> list[list[str]]:
    widths = list(report.by_bits.values())
    rival = list(report.rival.values())
    clean = ["none", f"{report.clean_accuracy:.1f}", *[""] * len(widths), ""]
    rows = [clean + [f"{result.clean_accuracy:.1f}" for result in rival]]
    for name, first in report.corruptions.items():
        if first.patch is None:
            patched, costs = ["no patch"] * len(widths), ""
        else:
            patched = [f"{width.corruptions[name].patched:.1f}" for width in widths]
            costs = f"{first.patched_clean_accuracy:.1f}"
        others = [f"{result.corruptions[name]:.1f}" for result in rival]
        rows.append([name, f"{first.clean_model:.1f}", *patched, costs, *others])
    means = [f"{width.mean.patched:.1f}" for width in widths]
    others = [f"{result.mean:.1f}" for result in rival]
    rows.append(["mean", f"{report.mean.clean_model:.1f}", *means, "", *others])
    return rows


def _summary(report: EvaluationReport) -> list[str]:
    lines = []
    patches = sum(result.patch is not None for result in report.corruptions.values())
    for bits, result in report.by_bits.items():
        gap = "no gap" if result.gap_recovered is None else f"{100 * result.gap_recovered:.0f} %"
        share = result.patch_payload_bytes / report.model_bytes
        lines.append(
            f"{'as stored' if bits == 'stored' else bits + ' bits'}: gap recovered {gap}; "
            f"{patches} patches, {result.patch_payload_bytes:,} bytes "
            f"({share:.1%} of the model's {report.model_bytes:,}), files "
            f"{result.patch_file_bytes:,}"
        )
    if "frost" in report.corruptions:
        lines.append(f"frost: {report.frost_source}")
    return lines
