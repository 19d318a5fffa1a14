"""The entry point of `rws`: commands by name, loaded when called; errors and exit codes."""

import errno
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import click
from rich.console import Console
from rich.markup import escape

from rwsstore import __version__
from rwsstore.cli.lazy import LazyGroup
from rwsstore.errors import RwsError

INTERRUPTED = 130


@dataclass(frozen=True)
class CommandRow:
    """One command: the module that holds it, and its line in `rws --help`.

    Attributes:
        module: in rwsstore.cli.
        summary: what it does.
        computes: whether it needs torch; importing that takes seconds on a small box.
    """

    module: str
    summary: str
    computes: bool = True


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
        "bundle": CommandRow("bundle", "Train a model and all its patches from one file."),
        "corrupt": CommandRow("corrupt", "Write corrupted data sets, or a sheet of one image."),
        "apply": CommandRow("apply", "Write a model's weights with patches put on."),
        "compose": CommandRow("compose", "Store several patches at fixed strengths as one."),
        "inspect": CommandRow("inspect", "Show what a checkpoint or a patch is."),
        "store": CommandRow("store", "List, verify and clean a store of patches."),
        "serve": CommandRow("serve", "Serve a model and its patches over HTTP."),
        "bench": CommandRow("bench", "Measure how fast a model and its patches are here."),
        "remote": CommandRow("remote", "Patch and predict on a running service.", computes=False),
    }
)
"""Commands by name. A new one is a module with a function of that name, and a row here."""


@click.group(
    cls=LazyGroup,
    modules={name: f"rwsstore.cli.{row.module}" for name, row in COMMANDS.items()},
    summaries={name: row.summary for name, row in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
    context = click.get_current_context()
    row = COMMANDS.get(context.invoked_subcommand or "")
    if row is not None and row.computes and not _asks_for_help():
        _set_threads(threads)


def _asks_for_help() -> bool:
    return bool({"-h", "--help"} & set(sys.argv[1:]))


def _set_threads(threads: int | None) -> None:
    import torch

    from rwsstore.cpu import thread_count

    torch.set_num_threads(threads or thread_count())


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
        return _fail(_explain(error), 1)
    return result if isinstance(result, int) else 0


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"no space left on the device: {error.filename or 'free some and run it again'}"
    return str(error)


def _fail(message: str, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]error:[/] {escape(message)}"
    )
    return code
