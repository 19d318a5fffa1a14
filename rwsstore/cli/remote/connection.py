"""How every command of `rws remote` reaches the service, and its answers as people read them."""

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.table import Table
from rich.text import Text

from rwsstore.cli.options import several
from rwsstore.errors import (
    ConfigError,
    MissingExtraError,
    MissingFileError,
    NotFoundError,
    RefusedError,
    RwsError,
)

if TYPE_CHECKING:
    from rwsstore_client import (
        ApiError,
        AuditLog,
        Card,
        Client,
        History,
        Model,
        Patch,
        PatchSet,
        Predictions,
    )


def plain(text: str) -> str:
    """Text without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _add(table: Table, *cells: object) -> None:
    """Add a row whose cells are taken as they are, without markup."""
    table.add_row(*(Text(plain(str(cell))) for cell in cells))


def pairs_table(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values."""
    table = Table(title=Text(plain(title)), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        _add(table, name, value)
    return table


def patches_table(patches: Iterable["Patch"]) -> Table:
    """A listing."""
    table = Table()
    for name in ("patch", "digest", "kind", "against"):
        table.add_column(name)
    for name in ("severity", "bits", "alpha", "touched", "file"):
        table.add_column(name, justify="right")
    for name in ("fits", "layer"):
        table.add_column(name)
    for patch in patches:
        _add(
            table,
            reference(patch),
            patch.digest[:12],
            patch.kind,
            patch.corruption or patch.attack or "-",
            patch.severity or ("-" if patch.budget is None else f"ε {patch.budget:g}"),
            patch.bits or "-",
            f"{patch.alpha:g}",
            _bytes(patch.touched_bytes),
            f"{patch.file_bytes:,}",
            "yes" if patch.fits else "no",
            patch.layer,
        )
    return table


def _bytes(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def reference(patch: "Patch") -> str:
    """A patch as one names it."""
    return patch.name if patch.version is None else f"{patch.name}@{patch.version}"


def patch_rows(patch: "Patch") -> list[tuple[str, object]]:
    """All that is known of a patch but its card."""
    rows: list[tuple[str, object]] = [
        ("kind", patch.kind),
        ("digest", patch.digest),
        ("fits the model", "yes" if patch.fits else "no"),
        ("for the clean weights", patch.clean_weights),
        ("architecture", patch.architecture),
        ("layers", ", ".join(patch.layers) or "-"),
        ("touches", f"{_bytes(patch.touched_bytes)} bytes of the model"),
        ("bits", patch.bits or "-"),
        ("bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"),
        ("alpha", f"{patch.alpha:g}, from {patch.alpha_minimum:g} to {patch.alpha_maximum:g}"),
        ("layer", patch.layer),
    ]
    if patch.corruption is not None:
        rows.append(("corruption", f"{patch.corruption}, severity {patch.severity}"))
    if patch.attack is not None:
        budget = "" if patch.budget is None else f", budget {patch.budget:g}"
        rows.append(("attack", f"{patch.attack}{budget}"))
    if patch.dataset is not None:
        rows.append(("dataset", patch.dataset))
    rows += [("part", f"{part.name} {part.digest[:12]} at {part.alpha:g}") for part in patch.parts]
    return rows


def card_table(card: "Card") -> Table:
    """What a patch buys and costs."""
    table = Table(title=f"robustness card, {card.images:,} images", title_justify="left")
    for name in ("alpha", "TA %", "RA %"):
        table.add_column(name, justify="right")
    for point in card.points:
        table.add_row(f"{point.alpha:g}", f"{point.ta:.1f}", f"{point.ra:.1f}")
    return table


def patchset_lines(patchset: "PatchSet") -> list[str]:
    """A patch set, a line for each patch."""
    head = f"{patchset.model} generation {patchset.generation} state {patchset.state_digest[:12]}: "
    if patchset.fault:
        return [plain(head), plain(f"  NOT SERVED: {patchset.fault}")]
    if not patchset.patches:
        return [plain(f"{head}the clean model")]
    lines = [f"  {one.patch} {one.digest[:12]} at alpha {one.alpha:g}" for one in patchset]
    return [plain(line) for line in (f"{head}{len(patchset)} on", *lines)]


def _log_table(*names: str) -> Table:
    """A narrow terminal folds its cells, and cuts nothing off."""
    table = Table()
    for name in names:
        side: Literal["left", "right"] = "right" if name == names[0] else "left"
        table.add_column(name, justify=side, overflow="fold")
    return table


def history_table(history: "History") -> Table:
    """Who did what, the newest first."""
    table = _log_table("generation", "at", "action", "by", "from", "patch set", "state")
    for one in history:
        back = "" if one.rolled_back_to is None else f" to {one.rolled_back_to}"
        when = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        on = ",".join(f"{patch.patch}={patch.alpha:g}" for patch in one) or "none"
        state = one.state_digest[:12]
        _add(table, one.generation, when, one.action + back, one.actor, one.address, on, state)
    return table


def audit_table(log: "AuditLog") -> Table:
    """Every change, the newest first."""
    table = _log_table("number", "at", "action", "of", "by", "from", "generation", "state")
    for one in log:
        made = "-" if one.generation is None else one.generation
        state = one.state_digest[:12] or "-"
        when = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        _add(table, one.seq, when, one.action, one.subject, one.actor, one.address, made, state)
    return table


def predictions_table(names: Sequence[str], answer: "Predictions") -> Table:
    """The likeliest classes of each image."""
    table = Table()
    table.add_column("image")
    for rank in range(max(len(image.top) for image in answer)):
        table.add_column("label" if rank == 0 else f"{rank + 1}.")
        table.add_column("%", justify="right")
    for name, image in zip(names, answer, strict=True):
        cells = [part for one in image.top for part in (one.label, f"{100 * one.probability:.1f}")]
        _add(table, name, *cells)
    return table


_Command = Callable[..., Any]

_REFUSED = (400, 405, 413, 415, 422, 428, 431)  # what the caller gave was at fault

if_match_option = click.option(
    "--if-match",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if generation N is still the active one.",
)

_url_option = click.option(
    "--url",
    envvar="RWS_URL",
    metavar="URL",
    help="Of the service. Default: $RWS_URL, else http://127.0.0.1:8000.",
)

_token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File that holds the token alone. Default: the token is $RWS_TOKEN.",
)


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


strength_options = several(
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


def with_client(command: _Command) -> _Command:
    """Add --url and --token-file, and call the command with a client first."""

    @_url_option
    @_token_option
    @functools.wraps(command)
    def call(*args: Any, url: str | None, token_file: Path | None, **options: Any) -> Any:
        with _client(url, token_file) as rws:
            return command(rws, *args, **options)

    return call


def with_model(command: _Command) -> _Command:
    """Add --model too, and call the command with the model first."""

    @click.option(
        "--model",
        "model_name",
        callback=_check_name,
        metavar="NAME",
        help="Of the model. Default: the only one that the service has.",
    )
    @functools.wraps(command)
    def call(rws: "Client", *args: Any, model_name: str | None, **options: Any) -> Any:
        return command(_model(rws, model_name), *args, **options)

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
        raise ConfigError(str(error)) from None


def limit_options(before: Any, help: str) -> Callable[[_Command], _Command]:  # noqa: A002
    """Add --limit and --before, of which the numbers are of a kind and the help is given."""
    return several(
        click.option(
            "--limit",
            type=click.IntRange(1, 1000),
            default=50,
            show_default=True,
            help="At most so many.",
        ),
        click.option("--before", type=before, metavar="N", help=help),
    )


def older(command: str, before: int | None) -> tuple[str, ...]:
    """Say how to see what comes before a page; nothing where there is nothing."""
    return () if before is None else (f"older ones: rws remote {command} --before {before}",)


@contextmanager
def _client(url: str | None, token_file: Path | None) -> Iterator["Client"]:
    try:
        from rwsstore_client import ApiError, Client, RwsClientError
    except ModuleNotFoundError as error:
        raise MissingExtraError("rws remote", "remote") from error
    token = None if token_file is None else _read_token(token_file)
    try:
        client = Client(url, token)
    except ValueError as error:
        raise ConfigError(plain(str(error))) from None
    try:
        with client:
            yield client
    except ApiError as error:
        raise _as_error(error) from error
    except RwsClientError as error:
        raise RwsError(plain(str(error))) from error


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise MissingFileError(f"no token file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds more than ASCII; expected the token alone") from None


def _as_error(error: "ApiError") -> RwsError:
    """What a problem of the service is to whoever types commands."""
    message = plain(error.detail)
    if error.status == 401:
        message += "; give it as RWS_TOKEN or with --token-file"
    if error.status == 404:
        return NotFoundError(message)
    return RefusedError(message) if error.status in _REFUSED else RwsError(message)


def _model(rws: "Client", name: str | None) -> "Model":
    if name is None:
        names = [model.name for model in rws.models()]
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise ConfigError(plain(f"name a model with --model; {rws.url} has: {found}"))
        name = names[0]
    return rws.model(name)
