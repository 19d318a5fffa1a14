"""A report on bit flips as tables for people."""

__all__ = ["bitflip_text"]

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rwsstore.analysis.bitflips.deciles import DECILES
from rwsstore.analysis.bitflips.report import BitflipReport, Tally
from rwsstore.analysis.names import short_names
from rwsstore.evaluation import Figure


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
