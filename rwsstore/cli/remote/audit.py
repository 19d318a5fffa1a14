"""`rws remote audit`."""

__all__ = ["audit"]

from typing import TYPE_CHECKING

import click

from rwsstore.cli.output import write_json, write_lines, write_table
from rwsstore.cli.remote.connection import json_option, with_client
from rwsstore.cli.remote.showing import audit_table

if TYPE_CHECKING:
    from rwsstore_client import Client


@click.command("audit", short_help="Show every change to patch sets and store.")
@with_client
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
)
@click.option(
    "--before", type=click.IntRange(min=1), metavar="N", help="Only records below number N."
)
@json_option
def audit(rws: "Client", limit: int, before: int | None, as_json: bool) -> None:
    """Show the audit log: uploads and deletions too, the newest first.

    It is append-only; with --json each record has the hash that chains it to the one before.
    """
    found = rws.audit(limit=limit, before=before)
    if as_json:
        write_json(found.model_dump(mode="json"))
        return
    write_table(audit_table(found))
    if found.next_before is not None:
        write_lines([f"older ones: rws remote audit --before {found.next_before}"])
