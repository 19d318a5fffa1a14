"""Results on standard output: tables for people, JSON for scripts."""

__all__ = ["write_json", "write_lines", "write_table"]

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, RenderableType


def write_json(document: Any) -> None:
    """Write one JSON document."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))


def write_table(table: RenderableType) -> None:
    """Write something that rich lays out; without a terminal it takes the width that it needs."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=180)
    console.print(table)


def write_lines(lines: Iterable[str]) -> None:
    """Write lines as they are."""
    for line in lines:
        click.echo(line)
