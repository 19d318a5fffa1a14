"""A filtering report as a table for people."""

__all__ = ["filtering_text"]

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.filtering.report import FilteringReport
from rwsstore.analysis.filtering.scores import SCORES, LayerScores
from rwsstore.analysis.names import short_names
from rwsstore.evaluation import Figure
from rwsstore.evaluation.writing import interval_note

_SAID = 3
"""Undefined scores that are listed one by one."""


def filtering_text(report: FilteringReport) -> RenderableType:
    """Lay a report out: a line a layer, means over the filters, and the verdict."""
    return Group(Text(_title(report), style="italic"), _table(report), *map(Text, _notes(report)))


def _table(report: FilteringReport) -> Table:
    decides, filters = report.options.decides, report.curves.options.filters
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    heads = [f"{decides.upper()}, {name}" for name in filters] if len(filters) > 1 else []
    for head in (*heads, *(f"{name.upper()}, mean" for name in SCORES)):
        table.add_column(head, justify="right")
    table.add_column("verdict")
    names = short_names([layer.layer for layer in report.scores])
    for name, layer in zip(names, report.scores, strict=True):
        each = [layer.by_filter[one][decides] for one in filters] if heads else []
        cells = [_plain(figure) for figure in each]
        cells += [_with_interval(layer.mean[score]) for score in SCORES]
        table.add_row(name, *cells, _verdict(layer))
    return table


def _title(report: FilteringReport) -> str:
    curves = report.curves
    return (
        f"Weights filtered away, {curves.images:,} images of {report.dataset}: accuracy "
        f"{curves.accuracy:.1f} %, under FGSM (ε = {curves.options.epsilon:g}) "
        f"{curves.attacked_accuracy:.1f} %"
    )


def _plain(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:z.2f}"


def _with_interval(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return _plain(figure)
    half = (figure.interval.high - figure.interval.low) / 2
    return f"{figure.value:z.2f} ± {half:.2f}"


def _verdict(layer: LayerScores) -> str:
    if layer.kind is None:
        return "not defined"
    return layer.kind if layer.clear else f"{layer.kind}?"


def _notes(report: FilteringReport) -> list[str]:
    options = report.options
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    tolerance, decides = options.tolerance, options.decides.upper()
    verdict = f"mean of {decides} below {-tolerance:g}, between, above {tolerance:g}"
    integrals = "S1 = ∫(A − D), S2 = ∫(B − D), S3 = ∫(B − A) over the thresholds as 0…1"
    curves = "A: accuracy, B: accuracy under FGSM, D: share of the weights that remain"
    lines = [f"{counts} ({verdict}).", f"{integrals}; {curves}."]
    if not options.above_chance:
        lines.append("Accuracies are taken as they are, chance included.")
    if options.resampling.resamples:
        note = interval_note(options.resampling.confidence)
        lines.append(f"{note}; ?: it reaches beyond the verdict, or there is none.")
    said = report.undefined()
    if len(said) > _SAID:
        said = (*said[:_SAID], f"and {len(said) - _SAID} more that are not defined (--json)")
    return lines + list(said)
