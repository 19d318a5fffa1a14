"""`rws serve`."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.markup import escape

from rwsstore.errors import MissingExtraError
from rwsstore.runtime.formats import FORMATS

if TYPE_CHECKING:
    from rwsstore_service.settings import Settings


_log = logging.getLogger("rwsstore_service")


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one. Default: 8000."
)
@click.option(
    "--model",
    metavar="FILE|bundled",
    help="Checkpoint of the clean model (.safetensors). Default: bundled, the CIFAR-10 classifier "
    "that comes with rwsstore.",
)
@click.option("--model-name", metavar="NAME", help="What it is called in URLs.")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder of the patches, with the bundled ones beneath. Default: the platform's data "
    "directory.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder of the generations and the audit log. Default: beside the store, STORE.state.",
)
@click.option(
    "--compute",
    metavar="NAME",
    help=f"How the model is computed: auto, {', '.join(FORMATS)}. Default: auto, the fastest of "
    "those that the model's card offers.",
)
@click.option(
    "--log-format", type=click.Choice(["console", "json"]), help="Log lines. Default: console."
)
def command(**options: Any) -> None:
    """Serve a model and its patches over HTTP, until interrupted.

    Nothing has to be configured on one's own machine: the bundled model and its 22 patches are
    served at http://127.0.0.1:8000, an admin token is made and shown once, and the API is
    described at /docs. Every option, and every other setting, is an environment variable too:
    RWS_PORT, RWS_ADMIN_TOKENS, ... (docs/settings.md).

    \b
    On another address than this machine's own an admin token is needed:
      RWS_ADMIN_TOKENS=operator:SECRET rws serve --host 0.0.0.0
    """
    try:
        from rwsstore_service.app import create_app
        from rwsstore_service.settings import Settings
        from rwsstore_service.wire.logs import configure_logging
        from rwsstore_service.wire.server import run
        from rwsstore_service.wire.tokens import provide_tokens
    except ModuleNotFoundError as error:
        raise MissingExtraError("rws serve", "service") from error
    settings = Settings.of(threads=_threads(), **options)
    configure_logging(settings)
    tokens, made = provide_tokens(settings)
    app = create_app(settings, tokens=tokens)

    def announce(listening: str) -> None:
        _announce(listening, settings, made)

    def on_stopping() -> None:
        app.state.service.stopping = True

    run(app, settings, announce=announce, on_stopping=on_stopping)


def _threads() -> int | None:
    """What `rws --threads` was given; RWS_THREADS, which it precedes, reaches the settings."""
    root = click.get_current_context().find_root()
    given = root.get_parameter_source("threads") is ParameterSource.COMMANDLINE
    return root.params["threads"] if given else None


def _announce(listening: str, settings: "Settings", made: str | None) -> None:
    if settings.log_format == "json":  # every line a JSON object, but for a token that was made
        _log.info("%s", listening)
        if made is None:
            return
    url = listening.removeprefix("listening on ")
    lines = [f"[bold]rwsstore[/] is {escape(listening)}"]  # [fd00::1] would be a tag
    if settings.docs:
        lines.append(f"  API       {escape(url)}/docs")
    if made is not None:
        lines.append(f"  token     {made}")
        lines.append("            for changes; made for this run, shown once")
    lines.append("  stop      Ctrl-C")
    Console(stderr=True, highlight=False, soft_wrap=True).print("\n".join(lines))
