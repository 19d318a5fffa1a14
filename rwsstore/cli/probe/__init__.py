"""`rws probe`: how a model fails when its parameters change."""

__all__ = ["command"]

import importlib

import click

_COMMANDS = {
    "corruption": "Corrupt parameters on purpose: by type, by layer, over ε.",
    "bitflips": "Flip bits of stored weights and count what each costs.",
    "filtering": "Filter weights away: fragile, robust and antifragile layers.",
}


class _Lazy(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order of the documentation."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"rwsstore.cli.probe.{cmd_name}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group("probe", cls=_Lazy, short_help="Find a model's weak parameters.")
def command() -> None:
    """Find a model's weak parameters: what happens to its accuracy when they change.

    The model is never written to; every trial is made on a copy. A long run that was interrupted
    goes on where it was when the same command is given again.
    """
