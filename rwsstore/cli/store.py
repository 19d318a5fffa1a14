"""`rws store`: list, show, verify, check and clean a store of patches."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from rwsstore import models
from rwsstore.cli.inspect import show_patch
from rwsstore.cli.options import corruption_option, json_option, open_store, store_option
from rwsstore.cli.output import patches_table, write_result
from rwsstore.patches import BIT_WIDTHS
from rwsstore.store import Entry, Sort
from rwsstore.tables import Column, Table


@click.group("store")
def command() -> None:
    """Look into a store of patches, check it, and clean it up.

    A patch is named by its name (its latest version), by NAME@VERSION, by its digest, or by 8 or
    more of the digest's first digits.
    """


@command.command("ls", short_help="List patches.")
@store_option
@click.option("--kind", help="Only of this kind: rws, composed, ...")
@corruption_option("Only for this one.")
@click.option(
    "--bits", type=click.Choice([str(bits) for bits in BIT_WIDTHS]), help="Only of so many bits."
)
@click.option(
    "--max-touched",
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="Only what touches at most so many bytes of the model.",
)
@click.option("--all-versions", is_flag=True, help="Older versions too.")
@click.option(
    "--sort",
    type=click.Choice(get_args(Sort)),
    default="name",
    help="By name; or what touches the fewest bytes of the model, or takes the fewest, first.",
)
@json_option
def ls(
    store_path: Path | None, bits: str | None, sort: Sort, as_json: bool, **filters: Any
) -> None:
    """List the patches of a store.

    "touched" are the bytes of the model's weights that a patch changes, and their share of the
    model; "deepest" is the deepest layer among them; "payload" and "file" are its own size.
    """
    store = open_store(store_path)
    entries = store.list(bits=None if bits is None else int(bits), sort=sort, **filters)
    nothing = f"no such patch in {store.root}; make some with rws extract"
    # Which patch it is comes first.
    patches = [{"name": one.name, "version": one.version, **asdict(one)} for one in entries]
    document = {"store": str(store.root), "patches": patches}
    write_result(as_json, document, entries_table(entries) if entries else nothing)


def entries_table(entries: Sequence[Entry]) -> Table:
    """A row for each patch; layers without what the names of all of them begin with."""
    layers = sorted({entry.deepest for entry in entries if entry.deepest is not None})
    deepest = dict(zip(layers, models.short_names(layers), strict=True))
    layer = Column("deepest", lambda entry: deepest.get(entry.deepest), left=True, spare=4)
    return patches_table(entries, layer)


@command.command("show", short_help="Show one patch.")
@click.argument("patch")
@store_option
@json_option
def show(patch: str, store_path: Path | None, as_json: bool) -> None:
    """Show a patch's description and its robustness card."""
    show_patch(open_store(store_path).get(patch), store_path, as_json=as_json)


@command.command("verify", short_help="Read one patch again and check its bytes.")
@click.argument("patch")
@store_option
@json_option
def verify(patch: str, store_path: Path | None, as_json: bool) -> None:
    """Hash a patch's bytes, and those of its parts, and parse them."""
    digest = open_store(store_path).verify(patch)
    document = {"patch": patch, "digest": digest, "ok": True}
    write_result(as_json, document, f"{patch} is intact: {digest}")


@command.command("fsck", short_help="Check the whole store.")
@store_option
@click.option(
    "--repair", is_flag=True, help="Quarantine damaged objects, sweep what interrupted writes left."
)
@json_option
def fsck(store_path: Path | None, repair: bool, as_json: bool) -> int:
    """Hash and parse every object, follow every name and every part. Exit code 1 if not clean."""
    report = open_store(store_path).fsck(repair=repair)
    lines = []
    for finding in report.findings:
        repaired = " (repaired)" if finding.repaired else ""
        lines.append(f"{finding.problem} {finding.subject}: {finding.detail}{repaired}")
    verdict = "clean" if report.clean else "NOT CLEAN; rws store fsck --repair mends what it can"
    lines.append(f"{report.objects} objects, {report.refs} names: {verdict}")
    if report.unreferenced:
        nameless = len(report.unreferenced)
        lines.append(f"{nameless} objects without a name; rws store gc removes them")
    write_result(as_json, {**asdict(report), "clean": report.clean}, *lines)
    return 0 if report.clean else 1


@command.command("gc", short_help="Remove what no name reaches.")
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def gc(store_path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove objects that neither a name nor a composed patch reaches, and leftover files."""
    report = open_store(store_path).gc(dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    summary = (
        f"{verb} {len(report.removed)} objects and {report.temporaries} leftover files "
        f"({report.freed_bytes:,} bytes); {report.kept} objects stay"
    )
    removed = (f"{verb} {digest}" for digest in report.removed)
    write_result(as_json, asdict(report), *removed, summary)
