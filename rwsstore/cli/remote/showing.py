"""Answers of a service as people read them; a stranger's text never steers the terminal."""

__all__ = [
    "audit_table",
    "card_table",
    "history_table",
    "pairs_table",
    "patch_rows",
    "patches_table",
    "patchset_lines",
    "plain",
    "predictions_table",
    "reference",
]

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rwsstore_client import AuditLog, Card, History, Patch, PatchSet, Predictions


def plain(text: str) -> str:
    """Text without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _add(table: Table, *cells: object) -> None:
    """Add a row whose cells are taken as they are, without markup."""
    table.add_row(*(Text(plain(str(cell))) for cell in cells))


def pairs_table(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values."""
    table = Table(title=Text(plain(title)), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        _add(table, name, value)
    return table


def patches_table(patches: Iterable["Patch"]) -> Table:
    """A listing."""
    table = Table()
    for name in ("patch", "digest", "kind", "against"):
        table.add_column(name)
    for name in ("severity", "bits", "alpha", "touched", "file"):
        table.add_column(name, justify="right")
    for name in ("fits", "layer"):
        table.add_column(name)
    for patch in patches:
        _add(
            table,
            reference(patch),
            patch.digest[:12],
            patch.kind,
            patch.corruption or patch.attack or "-",
            patch.severity or ("-" if patch.budget is None else f"ε {patch.budget:g}"),
            patch.bits or "-",
            f"{patch.alpha:g}",
            _bytes(patch.touched_bytes),
            f"{patch.file_bytes:,}",
            "yes" if patch.fits else "no",
            patch.layer,
        )
    return table


def _bytes(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def reference(patch: "Patch") -> str:
    """A patch as one names it."""
    return patch.name if patch.version is None else f"{patch.name}@{patch.version}"


def patch_rows(patch: "Patch") -> list[tuple[str, object]]:
    """All that is known of a patch but its card."""
    rows: list[tuple[str, object]] = [
        ("kind", patch.kind),
        ("digest", patch.digest),
        ("fits the model", "yes" if patch.fits else "no"),
        ("for the clean weights", patch.clean_weights),
        ("architecture", patch.architecture),
        ("layers", ", ".join(patch.layers) or "-"),
        ("touches", f"{_bytes(patch.touched_bytes)} bytes of the model"),
        ("bits", patch.bits or "-"),
        ("bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"),
        ("alpha", f"{patch.alpha:g}, from {patch.alpha_minimum:g} to {patch.alpha_maximum:g}"),
        ("layer", patch.layer),
    ]
    if patch.corruption is not None:
        rows.append(("corruption", f"{patch.corruption}, severity {patch.severity}"))
    if patch.attack is not None:
        budget = "" if patch.budget is None else f", budget {patch.budget:g}"
        rows.append(("attack", f"{patch.attack}{budget}"))
    if patch.dataset is not None:
        rows.append(("dataset", patch.dataset))
    rows += [("part", f"{part.name} {part.digest[:12]} at {part.alpha:g}") for part in patch.parts]
    return rows


def card_table(card: "Card") -> Table:
    """What a patch buys and costs."""
    table = Table(title=f"robustness card, {card.images:,} images", title_justify="left")
    for name in ("alpha", "TA %", "RA %"):
        table.add_column(name, justify="right")
    for point in card.points:
        table.add_row(f"{point.alpha:g}", f"{point.ta:.1f}", f"{point.ra:.1f}")
    return table


def patchset_lines(patchset: "PatchSet") -> list[str]:
    """A patch set, a line for each patch."""
    head = f"{patchset.model} generation {patchset.generation} state {patchset.state_digest[:12]}: "
    if patchset.fault:
        return [plain(head), plain(f"  NOT SERVED: {patchset.fault}")]
    if not patchset.patches:
        return [plain(f"{head}the clean model")]
    lines = [f"  {one.patch} {one.digest[:12]} at alpha {one.alpha:g}" for one in patchset]
    return [plain(line) for line in (f"{head}{len(patchset)} on", *lines)]


def _log_table(*names: str) -> Table:
    """A narrow terminal folds its cells, and cuts nothing off."""
    table = Table()
    for name in names:
        side: Literal["left", "right"] = "right" if name == names[0] else "left"
        table.add_column(name, justify=side, overflow="fold")
    return table


def history_table(history: "History") -> Table:
    """Who did what, the newest first."""
    table = _log_table("generation", "at", "action", "by", "from", "patch set", "state")
    for one in history:
        back = "" if one.rolled_back_to is None else f" to {one.rolled_back_to}"
        when = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        on = ",".join(f"{patch.patch}={patch.alpha:g}" for patch in one) or "none"
        state = one.state_digest[:12]
        _add(table, one.generation, when, one.action + back, one.actor, one.address, on, state)
    return table


def audit_table(log: "AuditLog") -> Table:
    """Every change, the newest first."""
    table = _log_table("number", "at", "action", "of", "by", "from", "generation", "state")
    for one in log:
        made = "-" if one.generation is None else one.generation
        state = one.state_digest[:12] or "-"
        when = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        _add(table, one.seq, when, one.action, one.subject, one.actor, one.address, made, state)
    return table


def predictions_table(names: Sequence[str], answer: "Predictions") -> Table:
    """The likeliest classes of each image."""
    table = Table()
    table.add_column("image")
    for rank in range(max(len(image.top) for image in answer)):
        table.add_column("label" if rank == 0 else f"{rank + 1}.")
        table.add_column("%", justify="right")
    for name, image in zip(names, answer, strict=True):
        cells = [part for one in image.top for part in (one.label, f"{100 * one.probability:.1f}")]
        _add(table, name, *cells)
    return table
