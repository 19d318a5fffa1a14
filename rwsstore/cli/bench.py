"""`rws bench`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import speed
from rwsstore.bundled import BUNDLED, bundled_folder, model_path
from rwsstore.cli.options import (
    fitting_store,
    json_option,
    load_model,
    model_options,
    store_option,
)
from rwsstore.cli.output import write_result
from rwsstore.errors import MissingFileError
from rwsstore.progress import ConsoleReporter
from rwsstore.runtime import FLOAT32, FORMATS, ComputeFormat

if TYPE_CHECKING:
    from rwsstore.models import Classifier
    from rwsstore.patches import Patch

_PATCHES = 32
"""Most patches that are measured with."""


@click.command("bench", short_help="Measure how fast a model and its patches are here.")
@model_options
@store_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=3600),
    default=45.0,
    show_default=True,
    help="Time that it may take, about; more time gives steadier figures.",
)
@json_option
def command(**options: Any) -> None:
    """Measure how fast a model and its patches are on this machine, in a minute.

    It shows what the machine can do at best (copying memory, multiplying matrices, convolving) and
    how far the model is from it in each compute format that it is offered in; which of them
    `rws serve` takes; what switching, composing and mixing patches cost; and the memory of a
    resident patch set. Nothing is downloaded and nothing is changed.

    Patches of the store that were made for the model are measured; where it has none, random ones
    are made in memory, which cost the same.

    Close what else is running first, and compare with what `--threads` gives:

    \b
      rws bench
      rws --threads 1 bench --seconds 20
      rws bench --model clean.safetensors --store patches --json
    """
    model = load_model(options)
    patches, origin = _patches(options["store_path"], model)
    subject = speed.Subject(
        name=str(options["model_path"]),
        model=model,
        patches=patches,
        origin=origin,
        offered=_offered(options["model_path"], model),
    )
    report = speed.bench(subject, seconds=options["seconds"], progress=ConsoleReporter())
    write_result(options["as_json"], report.to_dict(), speed.bench_tables(report))


def _patches(store: Path | None, model: "Classifier") -> "tuple[Sequence[Patch], str]":
    """Those of the store that fit the model and touch the same tensors, else random ones."""
    fitting = fitting_store(store, model)
    entries = sorted(fitting.list(), key=lambda entry: entry.kind != "rws")
    found = [fitting.get(entry.digest) for entry in entries if entry.kind != "composed"]
    found = [patch for patch in found if _can_vary(patch)]
    found = [patch for patch in found if patch.tensors.keys() == found[0].tensors.keys()]
    if found:
        return found[:_PATCHES], f"{len(found[:_PATCHES])} of the store"
    return speed.random_patches(
        model, _PATCHES
    ), "random, made in memory: the store has none for it"


def _can_vary(patch: "Patch") -> bool:
    """Whether it may be given other strengths, so that its variant is built anew each time."""
    return patch.metadata.alpha.minimum < patch.metadata.alpha.recommended


def _offered(path: Path, model: "Classifier") -> Sequence[ComputeFormat]:
    """The formats that the model's card offers; without a card, float32 alone."""
    from rwsstore.bundled import packaged_formats
    from rwsstore.patches import identify

    checkpoint = model_path(bundled_folder()) if str(path) == BUNDLED else path
    try:
        card = packaged_formats(checkpoint, weights=identify(model.state_dict()).clean_weights)
    except MissingFileError:
        return (FLOAT32,)
    offered = {one.name for one in card if one.offered} | {FLOAT32.name}
    return [one for name, one in FORMATS.items() if name in offered]
