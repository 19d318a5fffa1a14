"""`rws remote`: patch and predict on a running service."""

import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType

from rwsstore.cli import options as opt
from rwsstore.cli.output import facts_table, write_result
from rwsstore.cli.remote import connection, patches as stored
from rwsstore.errors import MissingFileError
from rwsstore.tables import Column, Table, plain

if TYPE_CHECKING:
    import rwsstore_client as sdk

_WHY = {
    "probe": "the fastest of those offered",
    "operator": "set by the operator",
    "only_offered": "nothing else is offered",
    "exact": "exact, batching is off",
}


@click.group("remote")
def command() -> None:
    """Patch and predict on a running service (rws serve), on this machine or on a box.

    The service is named by --url or RWS_URL, its token by RWS_TOKEN or --token-file; never on the
    command line, where every process of the machine sees it. A patch is named by its name, by
    NAME@VERSION, by its digest, or by 8 or more of the digest's first digits.

    \b
    Example:
      export RWS_URL=http://edge-box:8000 RWS_TOKEN=...
      rws remote apply fog --alpha 0.8
      rws remote predict road.jpg
    """


for _command in stored.COMMANDS:
    command.add_command(_command)


@command.command("status", short_help="Show whether the service is ready, and what it serves.")
@connection.with_client
@opt.json_option
def status(rws: "sdk.Client", as_json: bool) -> int:
    """Show whether the service is ready, its models, and what they have on.

    Exit code 1 if it is not ready.
    """
    ready = rws.ready()
    models = rws.models()
    shown: list[RenderableType] = [f"{rws.url} is {'ready' if ready else 'NOT READY'}"]
    for model in models:
        shown.append(facts_table(f"model {model.name}", model_rows(model)))
        shown += patchset_lines(model.patchset)
    found = [model.model_dump(mode="json") for model in models]
    write_result(as_json, {"url": rws.url, "ready": ready, "models": found}, *shown)
    return 0 if ready else 1


def model_rows(model: "sdk.ModelInfo") -> Iterator[tuple[str, object]]:
    """All that is known of a model but what it has on."""
    given, compute = model.input, model.compute
    yield "network", model.network
    yield "parameters", f"{model.parameters:,}"
    yield "classes", ", ".join(model.classes) or "-"
    yield "input", f"{given.height} x {given.width}; {', '.join(given.formats)}"
    yield "images a request", given.max_images
    if compute is not None:  # an older service does not tell
        yield "computed in", f"{compute.format} ({_WHY.get(compute.why, compute.why)})"
        for one in compute.offered:
            agreed = "agreement not measured" if one.agreement is None else f"{one.agreement:.2f} %"
            speed = "" if one.milliseconds is None else f", {one.milliseconds:.3g} ms"
            yield "offered", f"{one.name}: {agreed}{speed}"
    yield "architecture", model.fingerprint.architecture
    yield "weights", model.fingerprint.weights


@command.command("predict", short_help="Say what images show.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=opt.PATH)
@connection.with_model
@click.option(
    "--patchset",
    default="active",
    metavar="active|none|PATCH=ALPHA,...",
    help="Patches for these images alone; none is the clean model.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Name so many classes of each image.")
@opt.json_option
def predict(
    model: "sdk.Model", images: tuple[Path, ...], patchset: str, top_k: int | None, as_json: bool
) -> None:
    """Have the service say what images show: JPEG, PNG, WebP or BMP files.

    \b
    Example:
      rws remote predict --patchset fog=0.6,gaussian_noise=0.4 a.jpg b.jpg
    """
    for image in images:
        if not image.is_file():
            raise MissingFileError(f"no image {image}")
    answer = model.predict(list(images), top_k=top_k, patchset=patchset)
    names, document = [str(image) for image in images], answer.model_dump(mode="json")
    for name, prediction in zip(names, document["predictions"], strict=True):
        prediction["image"] = name
    on = ",".join(f"{one.patch}={one.alpha:g}" for one in answer.patches) or "none"
    of = "" if answer.generation is None else f", generation {answer.generation}"
    timing = answer.timing
    summary = (
        f"patch set {on}{of}, state {answer.state_digest[:12]}; {timing.queued_ms:.1f} ms queued, "
        f"{timing.decode_ms:.1f} decoding, {timing.compute_ms:.1f} computing"
    )
    write_result(as_json, document, predictions_table(names, answer), plain(summary))


def predictions_table(names: Sequence[str], answer: "sdk.Predictions") -> Table:
    """The likeliest classes of each image."""
    columns = [Column("image", left=True)]
    for rank in range(max(len(image.top) for image in answer)):
        columns.append(Column(f"{rank + 1}." if rank else "label", left=True, spare=2 * rank))
        columns.append(Column("%", form=".1f", spare=2 * rank + 1))
    rows = []
    for name, image in zip(names, answer, strict=True):
        cells = [cell for one in image.top for cell in (one.label, 100 * one.probability)]
        rows.append((name, *cells, *[None] * (len(columns) - 1 - len(cells))))
    return Table(columns, rows)


@command.command("patchset", short_help="Show what the model has on.")
@connection.with_model
@opt.json_option
def patchset(model: "sdk.Model", as_json: bool) -> None:
    """Show the active patch set and its generation."""
    _show(model.patchset.get(), as_json)


def _show(patchset: "sdk.PatchSet", as_json: bool) -> None:
    write_result(as_json, patchset.model_dump(mode="json"), *patchset_lines(patchset))


def patchset_lines(patchset: "sdk.PatchSet") -> list[str]:
    """A patch set, a line for each patch."""
    head = f"{patchset.model} generation {patchset.generation} state {patchset.state_digest[:12]}: "
    if patchset.fault:
        return [plain(head), plain(f"  NOT SERVED: {patchset.fault}")]
    if not patchset.patches:
        return [plain(f"{head}the clean model")]
    lines = [f"  {one.patch} {one.digest[:12]} at alpha {one.alpha:g}" for one in patchset]
    return [plain(line) for line in (f"{head}{len(patchset)} on", *lines)]


_Change = Callable[..., "sdk.PatchSet"]


def _changing(*options: Callable[[Any], Any]) -> Callable[[_Change], Callable[..., None]]:
    """Make a command of a change: call it with a model, and show the patch set that it made.

    It has the options of `with_model`, the ones given, --if-match and --json.
    """

    def add(change: _Change) -> Callable[..., None]:
        @connection.with_model
        @opt.several(*options, connection.if_match_option, opt.json_option)
        @functools.wraps(change)
        def call(model: "sdk.Model", *, as_json: bool, **given: Any) -> None:
            if given.get("alpha") is not None and given.get("ta_loss") is not None:
                raise click.UsageError("give --alpha or --ta-loss, not both")
            _show(change(model, **given), as_json)

        return call

    return add


@command.command("apply", short_help="Put a patch on.")
@connection.patch_argument
@_changing(connection.strength_options)
def apply(model: "sdk.Model", patch: str, **strength: Any) -> "sdk.PatchSet":
    """Put a patch on, or give the one that is on another strength."""
    return model.patchset.apply(patch, **strength)


@command.command("scale", short_help="Give a patch that is on another strength.")
@connection.patch_argument
@_changing(connection.strength_options)
def scale(model: "sdk.Model", patch: str, **strength: Any) -> "sdk.PatchSet":
    """Give a patch that is on another strength. Exit code 3 if it is not on."""
    return model.patchset.scale(patch, **strength)


@command.command("remove", short_help="Take a patch off.")
@connection.patch_argument
@_changing()
def remove(model: "sdk.Model", patch: str, if_match: int | None) -> "sdk.PatchSet":
    """Take a patch off, to the bit. Exit code 3 if it is not on."""
    return model.patchset.remove(patch, if_match=if_match)


@command.command("set", short_help="Put on just these patches.")
@click.argument("wanted", metavar="PATCH=ALPHA,PATCH,...")
@_changing()
def set_(model: "sdk.Model", wanted: str, if_match: int | None) -> "sdk.PatchSet":
    """Put on just these patches; a name alone takes its recommended strength, none is no patch.

    Without --if-match it is read first which generation is active, and nothing is changed if
    somebody else changes it in between.

    \b
    Example:
      rws remote set fog=0.6,gaussian_noise=0.4
    """
    patches = connection.read_patchset(wanted)
    seen = model.patchset.get().generation if if_match is None else if_match
    return model.patchset.replace(patches, if_match=seen)


@command.command("clear")
@_changing()
def clear(model: "sdk.Model", if_match: int | None) -> "sdk.PatchSet":
    """Take all patches off."""
    return model.patchset.clear(if_match=if_match)


@command.command("rollback", short_help="Go back to a generation.")
@click.argument("generation", type=click.IntRange(min=0))
@_changing()
def rollback(model: "sdk.Model", generation: int, if_match: int | None) -> "sdk.PatchSet":
    """Put on again what was on in a generation; that becomes a new one."""
    return model.patchset.rollback(generation, if_match=if_match)


@command.command("verify", short_help="Compare the weights in memory with fresh ones.")
@connection.with_model
@opt.json_option
def verify(model: "sdk.Model", as_json: bool) -> int:
    """Have the service compare the weights in its memory with freshly patched ones.

    Exit code 1 if they differ.
    """
    found = model.patchset.verify()
    verdict = "every bit is right" if found.ok else "NOT what they should be"
    head = f"{found.model} generation {found.generation}: {found.tensors} tensors, {verdict}"
    write_result(as_json, found.model_dump(mode="json"), *map(plain, [head, *found.problems]))
    return 0 if found.ok else 1


@command.command("history", short_help="Show who changed what, and when.")
@connection.with_model
@connection.limit_options(click.IntRange(min=0), "Only older ones than N.")
@opt.json_option
def history(model: "sdk.Model", limit: int, before: int | None, as_json: bool) -> None:
    """Show the generations of the patch set, the newest first."""
    found = model.patchset.history(limit=limit, before=before)
    _show_page("history", found, history_table(found), as_json)


@command.command("audit", short_help="Show every change to patch sets and store.")
@connection.with_client
@connection.limit_options(click.IntRange(min=1), "Only records below number N.")
@opt.json_option
def audit(rws: "sdk.Client", limit: int, before: int | None, as_json: bool) -> None:
    """Show the audit log: uploads and deletions too, the newest first.

    It is append-only; with --json each record has the hash that chains it to the one before.
    """
    found = rws.audit(limit=limit, before=before)
    _show_page("audit", found, audit_table(found), as_json)


def _show_page(name: str, page: "sdk.History | sdk.AuditLog", table: Table, as_json: bool) -> None:
    older, before = [], page.next_before
    if before is not None:
        older.append(f"older ones: rws remote {name} --before {before}")
    write_result(as_json, page.model_dump(mode="json"), table, *older)


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def history_table(history: "sdk.History") -> Table:
    """Who did what, the newest first."""
    rows = []
    for one in history:
        back = "" if one.rolled_back_to is None else f" to {one.rolled_back_to}"
        on = ",".join(f"{patch.patch}={patch.alpha:g}" for patch in one) or "none"
        did = (one.generation, _when(one.at), f"{one.action}{back}", one.actor, one.address)
        rows.append((*did, on, one.state_digest[:12]))
    columns = (
        Column("generation"),
        Column("at", left=True),
        Column("action", left=True),
        Column("by", left=True),
        Column("from", left=True, spare=2),
        Column("patch set", left=True),
        Column("state", left=True, spare=1),
    )
    return Table(columns, rows)


def audit_table(log: "sdk.AuditLog") -> Table:
    """Every change, the newest first."""
    columns = (
        Column("number", "seq"),
        Column("at", lambda one: _when(one.at), left=True),
        Column("action", "action", left=True),
        Column("of", "subject", left=True),
        Column("by", "actor", left=True),
        Column("from", "address", left=True, spare=2),
        Column("generation", "generation", left=True, spare=3),
        Column("state", lambda one: one.state_digest[:12] or None, left=True, spare=1),
    )
    return Table(columns, list(log))
