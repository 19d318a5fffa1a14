"""The entry point of `rws`: commands by name, loaded when called; errors and exit codes."""

import errno
import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from rwsstore import __version__, plugins
from rwsstore.errors import RwsError

INTERRUPTED = 130


@dataclass(frozen=True)
class CommandRow:
    """One command.

    Attributes:
        module: in rwsstore.cli; the function is `command`, or stands behind a colon.
        summary: what it does, shown without importing it.
        computes: whether torch's threads are set when it runs.
    """

    module: str
    summary: str
    computes: bool = True


class LazyGroup(click.Group):
    """Commands that are imported when they are called: torch takes seconds to load on a small box.

    Args:
        rows: by the commands' names, in the order of the listing.
        options: as `click.Group` takes them.
    """

    def __init__(self, *, rows: Mapping[str, CommandRow], **options: Any) -> None:
        super().__init__(**options)
        self._rows = rows

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order in which one meets them."""
        return list(self._rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the plugins, whose names its options may list, and a command."""
        if cmd_name in self._rows:
            plugins.load()
        if cmd_name in self._rows and cmd_name not in self.commands:
            row = self._rows[cmd_name]
            module, _, function = row.module.partition(":")
            found = importlib.import_module(f"rwsstore.cli.{module}")
            command: click.Command = getattr(found, function or "command")
            command.short_help = row.summary
            if row.computes:
                _set_threads_first(command, ctx)
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in self._rows.items()])


def _set_threads_first(command: click.Command, context: click.Context) -> None:
    """Have a command set torch's threads when it runs, which its help and wrong usage do not."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name  # noqa: S101
            _set_threads_first(child, context)
        return
    callback = command.callback
    assert callback is not None  # noqa: S101

    @functools.wraps(callback)
    def call(*args: Any, **options: Any) -> Any:
        import torch

        from rwsstore.cpu import thread_count

        threads = click.get_current_context().find_root().params.get("threads")
        torch.set_num_threads(threads or thread_count())
        return callback(*args, **options)

    command.callback = call


COMMANDS: Mapping[str, CommandRow] = MappingProxyType(
    {
        "demo": CommandRow("demo", "Train, patch and compare on embedded digits, in two minutes."),
        "train": CommandRow("train", "Train a classifier."),
        "extract": CommandRow("extract", "Extract robustness patches into a store."),
        "evaluate": CommandRow("evaluate", "Measure accuracy with and without patches."),
        "compare": CommandRow("compare", "Compare patches: norms, cosines, gains on each other."),
        "features": CommandRow("features", "Draw feature maps with and without a patch."),
        "probe": CommandRow("probe", "Find a model's weak parameters."),
        "card": CommandRow("card", "Measure which compute formats a model may be served in."),
        "bundle": CommandRow("train:bundle", "Train a model and all its patches from one file."),
        "corrupt": CommandRow("corrupt", "Write corrupted data sets, or a sheet of one image."),
        "apply": CommandRow("apply", "Write a model's weights with patches put on."),
        "compose": CommandRow("apply:compose", "Store several patches at fixed strengths as one."),
        "inspect": CommandRow("inspect", "Show what a checkpoint or a patch is."),
        "store": CommandRow("store", "List, verify and clean a store of patches.", computes=False),
        "serve": CommandRow("serve", "Serve a model and its patches over HTTP."),
        "bench": CommandRow("card:bench", "Measure how fast a model and its patches are here."),
        "remote": CommandRow("remote", "Patch and predict on a running service.", computes=False),
    }
)
"""Commands by name. A new one is a module with a function `command`, and a row here."""


_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "show_default": True,
}


@click.group(
    cls=LazyGroup,
    rows=COMMANDS,
    context_settings=_SETTINGS,
    epilog="Start with `rws demo`. Results go to standard output, progress to standard error. "
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 not found, 4 input refused, 130 interrupted.",
)
@click.version_option(__version__, prog_name="rws")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    envvar="RWS_THREADS",
    help="Threads to compute with. Default: the cores that this process may really use.",
)
def cli(threads: int | None) -> None:
    """One clean model and a store of tiny robustness patches.

    \b
    The way of a patch:
      rws train      a clean model from images
      rws extract    patches that make it robust, into a store
      rws evaluate   what they buy
      rws apply      put on and written out
    A model and its 22 patches come with rwsstore: try rws store ls.
    """


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(main(arguments))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every foreseen error becomes one message and its exit code."""
    try:
        result = cli.main(arguments, prog_name="rws", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; run the same command again to go on", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RwsError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        return 1
    except OSError as error:
        full = f"no space left on the device: {error.filename or 'free some and run it again'}"
        return _fail(full if error.errno == errno.ENOSPC else str(error), 1)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {escape(message)}")
    return code


def reference() -> str:
    """Write docs/use/cli.md: a section for each command, with what its --help prints."""
    intro = (
        "# Commands\n\n"
        "Made by `make docs` from the commands' own help. Results go to standard output, progress\n"
        "and errors to standard error. Exit codes: 0 done, 1 failure, 2 wrong usage, 3 not found,\n"
        "4 input refused, 130 interrupted.\n"
    )
    return "\n".join([intro, *_sections(cli, "rws", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, parent, name, terminal_width=100, **_SETTINGS)
    depth = "##" if parent is None or parent.parent is None else "###"
    yield f"{depth} `{context.command_path}`\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _sections(found, child, context)
