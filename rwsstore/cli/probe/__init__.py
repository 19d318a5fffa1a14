"""`rws probe`: how a model fails when its parameters change."""

import click

from rwsstore.cli.main import CommandRow, LazyGroup

_COMMANDS = {
    "corruption": "Corrupt parameters on purpose: by type, by layer, over ε.",
    "bitflips": "Flip bits of stored weights and count what each costs.",
    "filtering": "Filter weights away: fragile, robust and antifragile layers.",
    "criticality": "Which layers make features weak under attack?",
}


@click.group(
    "probe",
    cls=LazyGroup,
    rows={name: CommandRow(f"probe.{name}", line, False) for name, line in _COMMANDS.items()},
)
def command() -> None:
    """Find a model's weak parameters: what happens to its accuracy when they change.

    The model is never written to; every trial is made on a copy. A long run that was interrupted
    goes on where it was when the same command is given again.
    """
