"""Groups of commands that are imported when they are called: torch takes a second to load."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from rwsstore import plugins


class LazyGroup(click.Group):
    """A group of commands, each a module of its own with a function `command`.

    Args:
        modules: full names of the modules, by the commands' names, in the order of the listing.
        summaries: a line for each, shown without importing it.
        options: as `click.Group` takes them.
    """

    def __init__(
        self, *, modules: Mapping[str, str], summaries: Mapping[str, str], **options: Any
    ) -> None:
        super().__init__(**options)
        self._modules, self._summaries = modules, summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order in which one meets them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the plugins, whose names its options may list, and a command."""
        if cmd_name not in self._modules:
            return None
        plugins.load()
        command: click.Command = importlib.import_module(self._modules[cmd_name]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))
