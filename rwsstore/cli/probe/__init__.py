"""`rws probe`: how a model fails when its parameters change.

A probe is a file in this folder, or anywhere else, that calls `register`.
"""

import importlib
import pkgutil

import click

from rwsstore.cli.probe.rows import PROBES as PROBES, Bench as Bench, register as register


class _Probes(click.Group):
    """A command for each row."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        for own in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{own.name}")
        return sorted(PROBES, key=lambda name: (PROBES[name].place, name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return PROBES[cmd_name].command if cmd_name in self.list_commands(ctx) else None


@click.group("probe", cls=_Probes, short_help="Find a model's weak parameters.")
def command() -> None:
    """Find a model's weak parameters: what happens to its accuracy when they change.

    The model is never written to; every trial is made on a copy. A long run that was interrupted
    goes on where it was when the same command is given again.
    """
