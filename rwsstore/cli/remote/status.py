"""`rws remote status`."""

__all__ = ["status"]

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rwsstore.cli.output import write_json, write_lines, write_table
from rwsstore.cli.remote.connection import json_option, with_client
from rwsstore.cli.remote.showing import pairs_table, patchset_lines

if TYPE_CHECKING:
    from rwsstore_client import Client, ComputeInfo, ModelInfo

_WHY = {
    "probe": "the fastest of those offered",
    "operator": "set by the operator",
    "only_offered": "nothing else is offered",
    "exact": "exact, batching is off",
}


@click.command("status", short_help="Show whether the service is ready, and what it serves.")
@with_client
@json_option
def status(rws: "Client", as_json: bool) -> int:
    """Show whether the service is ready, its models, and what they have on.

    Exit code 1 if it is not ready.
    """
    ready = rws.ready()
    models = rws.models()
    if as_json:
        found = [model.model_dump(mode="json") for model in models]
        write_json({"url": rws.url, "ready": ready, "models": found})
    else:
        write_lines([f"{rws.url} is {'ready' if ready else 'NOT READY'}"])
        for model in models:
            write_table(pairs_table(f"model {model.name}", _rows(model)))
            write_lines(patchset_lines(model.patchset))
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
