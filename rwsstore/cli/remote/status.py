"""`rws remote status`, `predict` and `audit`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from rwsstore.cli.options import json_option
from rwsstore.cli.output import write_result
from rwsstore.cli.remote.connection import (
    audit_table,
    limit_options,
    older,
    pairs_table,
    patchset_lines,
    plain,
    predictions_table,
    with_client,
    with_model,
)
from rwsstore.errors import MissingFileError

if TYPE_CHECKING:
    from rwsstore_client import Client, ComputeInfo, Model, ModelInfo, Predictions

_WHY = {
    "probe": "the fastest of those offered",
    "operator": "set by the operator",
    "only_offered": "nothing else is offered",
    "exact": "exact, batching is off",
}


@click.command("audit", short_help="Show every change to patch sets and store.")
@with_client
@limit_options(click.IntRange(min=1), "Only records below number N.")
@json_option
def audit(rws: "Client", limit: int, before: int | None, as_json: bool) -> None:
    """Show the audit log: uploads and deletions too, the newest first.

    It is append-only; with --json each record has the hash that chains it to the one before.
    """
    found = rws.audit(limit=limit, before=before)
    document, more = found.model_dump(mode="json"), older("audit", found.next_before)
    write_result(as_json, document, audit_table(found), *more)


@click.command("predict", short_help="Say what images show.")
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@with_model
@click.option(
    "--patchset",
    default="active",
    show_default=True,
    metavar="active|none|PATCH=ALPHA,...",
    help="Patches for these images alone; none is the clean model.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Name so many classes of each image.")
@json_option
def predict(
    model: "Model", images: tuple[Path, ...], patchset: str, top_k: int | None, as_json: bool
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
    write_result(as_json, document, predictions_table(names, answer), _summary(answer))


def _summary(answer: "Predictions") -> str:
    on = ",".join(f"{one.patch}={one.alpha:g}" for one in answer.patches) or "none"
    of = "" if answer.generation is None else f", generation {answer.generation}"
    timing = answer.timing
    return plain(
        f"patch set {on}{of}, state {answer.state_digest[:12]}; {timing.queued_ms:.1f} ms queued, "
        f"{timing.decode_ms:.1f} decoding, {timing.compute_ms:.1f} computing"
    )


@click.command("status", short_help="Show whether the service is ready, and what it serves.")
@with_client
@json_option
def status(rws: "Client", as_json: bool) -> int:
    """Show whether the service is ready, its models, and what they have on.

    Exit code 1 if it is not ready.
    """
    ready = rws.ready()
    models = rws.models()
    found = [model.model_dump(mode="json") for model in models]
    shown: list[RenderableType] = [f"{rws.url} is {'ready' if ready else 'NOT READY'}"]
    for model in models:
        shown.append(pairs_table(f"model {model.name}", _rows(model)))
        shown += patchset_lines(model.patchset)
    write_result(as_json, {"url": rws.url, "ready": ready, "models": found}, *shown)
    return 0 if ready else 1


def _computed(compute: "ComputeInfo | None") -> Iterator[tuple[str, object]]:
    if compute is None:  # an older service
        return
    yield "computed in", f"{compute.format} ({_WHY.get(compute.why, compute.why)})"
    for one in compute.offered:
        agreement = "agreement not measured" if one.agreement is None else f"{one.agreement:.2f} %"
        speed = "" if one.milliseconds is None else f", {one.milliseconds:.3g} ms"
        yield "offered", f"{one.name}: {agreement}{speed}"


def _rows(model: "ModelInfo") -> list[tuple[str, object]]:
    given = model.input
    return [
        ("network", model.network),
        ("parameters", f"{model.parameters:,}"),
        ("classes", ", ".join(model.classes) or "-"),
        ("input", f"{given.height} x {given.width}; {', '.join(given.formats)}"),
        ("images a request", given.max_images),
        *_computed(model.compute),
        ("architecture", model.fingerprint.architecture),
        ("weights", model.fingerprint.weights),
    ]
