"""How every command of `rws remote` reaches the service, and the options that several take."""

import functools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import errors
from rwsstore.cli import options as opt
from rwsstore.tables import plain

if TYPE_CHECKING:
    import rwsstore_client as sdk

_Command = Callable[..., Any]

_REFUSED = (400, 405, 413, 415, 422, 428, 431)  # what the caller gave was at fault


def _check_name(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Let through what may stand in a URL; the service says whether there is such a thing."""
    if value is not None and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]*", value) is None:
        raise click.BadParameter(f"{value!r} is no name", context, parameter)
    return value


def _check_strength(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Let through finite numbers; the service says whether they are in bounds."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value!r} is no finite number", context, parameter)
    return value


patch_argument = click.argument("patch", callback=_check_name)

if_match_option = click.option(
    "--if-match",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if generation N is still the active one.",
)

strength_options = opt.several(
    click.option(
        "--alpha",
        type=float,
        callback=_check_strength,
        help="Its strength. Default: the recommended one.",
    ),
    click.option(
        "--ta-loss",
        type=float,
        callback=_check_strength,
        help="Instead: the points of accuracy on clean images that it may cost.",
    ),
)

_service_options = opt.several(
    click.option(
        "--url",
        envvar="RWS_URL",
        metavar="URL",
        help="Of the service. Default: $RWS_URL, else http://127.0.0.1:8000.",
    ),
    click.option(
        "--token-file",
        type=opt.PATH,
        help="File that holds the token alone. Default: the token is $RWS_TOKEN.",
    ),
)

_model_option = click.option(
    "--model",
    "model_name",
    callback=_check_name,
    metavar="NAME",
    help="Of the model. Default: the only one that the service has.",
)


def limit_options(before: click.IntRange, what: str) -> Callable[[_Command], _Command]:
    """Add --limit and --before, of which the numbers are of a kind and the help is given."""
    return opt.several(
        click.option("--limit", type=click.IntRange(1, 1000), default=50, help="At most so many."),
        click.option("--before", type=before, metavar="N", help=what),
    )


def with_client(command: _Command) -> _Command:
    """Add --url and --token-file, and call the command with a client first."""

    @_service_options
    @functools.wraps(command)
    def call(*args: Any, url: str | None, token_file: Path | None, **options: Any) -> Any:
        with _client(url, token_file) as rws:
            return command(rws, *args, **options)

    return call


def with_model(command: _Command) -> _Command:
    """Add --model too, and call the command with the model first."""

    @_model_option
    @functools.wraps(command)
    def call(rws: "sdk.Client", *args: Any, model_name: str | None, **options: Any) -> Any:
        if model_name is None:
            names = [model.name for model in rws.models()]
            if len(names) != 1:
                found = ", ".join(names) or "none"
                raise errors.ConfigError(
                    plain(f"name a model with --model; {rws.url} has: {found}")
                )
            model_name = names[0]
        return command(rws.model(model_name), *args, **options)

    return with_client(call)


def read_patchset(text: str) -> "dict[str, float | None]":
    """Read NAME=ALPHA,NAME,...

    Raises:
        ConfigError: it is no patch set.
    """
    from rwsstore_client import parse_patchset

    try:
        return parse_patchset(text)
    except ValueError as error:
        raise errors.ConfigError(str(error)) from None


@contextmanager
def _client(url: str | None, token_file: Path | None) -> Iterator["sdk.Client"]:
    try:
        from rwsstore_client import ApiError, Client, RwsClientError
    except ModuleNotFoundError as error:
        raise errors.MissingExtraError("rws remote", "remote") from error
    try:
        token = None if token_file is None else token_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise errors.MissingFileError(f"no token file {token_file}") from None
    except UnicodeDecodeError:
        message = f"{token_file} holds more than ASCII; expected the token alone"
        raise errors.ConfigError(message) from None
    try:
        client = Client(url, token)
    except ValueError as error:
        raise errors.ConfigError(plain(str(error))) from None
    try:
        with client:
            yield client
    except ApiError as error:
        message = plain(error.detail)
        if error.status == 401:
            message += "; give it as RWS_TOKEN or with --token-file"
        refused = errors.RefusedError if error.status in _REFUSED else errors.RwsError
        kind = errors.NotFoundError if error.status == 404 else refused
        raise kind(message) from error
    except RwsClientError as error:
        raise errors.RwsError(plain(str(error))) from error
