"""The tree of `rws` commands."""

__all__ = ["commands"]

from collections.abc import Iterator

import click

from tests.guards.faces import cli


def commands() -> dict[str, click.Command]:
    """Every command and group below rws, by what one types; "" is rws itself."""
    return dict(_walk(cli, "", click.Context(cli, info_name="rws")))


def _walk(
    command: click.Command, path: str, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            below = click.Context(child, info_name=name, parent=context)
            yield from _walk(child, f"{path} {name}".strip(), below)
