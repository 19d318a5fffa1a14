"""Every command says the same in its --help.

The words themselves are in docs/use/cli.md, which a test of its own compares with the commands; but
`make docs` writes that page anew, so it alone holds nothing.
"""

import hashlib

from click.testing import CliRunner

from tests.guards.commands import commands
from tests.guards.faces import cli
from tests.guards.frozen_files import read


def surface() -> dict[str, str]:
    """SHA-256 of each command's help on a terminal of 80 columns."""
    return {f"rws {path}".strip(): _help_hash(path) for path in commands()}


def _help_hash(path: str) -> str:
    arguments = ["--threads", "1", *path.split(), "--help"]
    outcome = CliRunner().invoke(cli, arguments, prog_name="rws", terminal_width=80)
    assert outcome.exit_code == 0, outcome.output
    return hashlib.sha256(outcome.output.encode()).hexdigest()


def test_every_help_says_what_it_said() -> None:
    assert surface() == read("help")
