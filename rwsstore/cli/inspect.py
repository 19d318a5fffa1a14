"""`rws inspect`."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import models, patches
from rwsstore.bundled import BUNDLED, bundled_model
from rwsstore.cli.options import json_option, open_store, store_option
from rwsstore.cli.output import write_result
from rwsstore.errors import FormatError, MissingFileError, RwsError
from rwsstore.tables import Column, Table

if TYPE_CHECKING:
    from rwsstore.models import Classifier
    from rwsstore.patches import Patch, Reach


@click.command("inspect")
@click.argument("what", metavar="FILE|PATCH|bundled")
@store_option
@json_option
def command(what: str, store_path: Path | None, as_json: bool) -> None:
    """Show a checkpoint's network, layers and fingerprints, or a patch's description and card.

    The argument is a file, a patch in the store by name, version or digest, or "bundled": the
    model that comes with rwsstore.
    """
    path = Path(what)
    found: Patch | Classifier
    if what == BUNDLED:
        found = bundled_model()
    elif path.is_file():
        found = _read(path)
    elif path.suffix or "/" in what:
        raise MissingFileError(f"there is no file {what}")
    else:
        found = open_store(store_path).get(what)
    if isinstance(found, patches.Patch):
        show_patch(found, store_path, as_json=as_json)
    else:
        document = _model_document(found)
        write_result(as_json, document, *_model_tables(document))


def _read(path: Path) -> "Patch | Classifier":
    if path.suffix == ".safetensors" and _is_patch(path):
        return patches.Patch.from_file(path)
    return models.load_checkpoint(path)


def _is_patch(path: Path) -> bool:
    """Whether the file's description speaks of a kind of patch; a checkpoint's has a network."""
    from rwsstore.files import read_bounded, read_header

    limit = patches.MAX_PATCH_BYTES
    if path.stat().st_size > limit:
        return False
    try:
        header = read_header(read_bounded(path, limit=limit, what="file"), what=str(path))
    except FormatError:
        return True
    return '"kind":' in header.metadata.get("rwsstore", "")


def show_patch(patch: "Patch", store_path: Path | None, *, as_json: bool) -> None:
    """Write a patch's description and card.

    Args:
        patch: to be shown.
        store_path: as of `store_option`; the parts of a composed patch are there.
        as_json: as JSON instead of tables.
    """
    reach: Reach | None = None
    with suppress(RwsError):  # a part of a composed patch is not at hand
        reach = (
            open_store(store_path).reach(patch) if patch.parts else patches.reach_of(patch.metadata)
        )
    document = {
        "type": "patch",
        "digest": patch.digest,
        "file_bytes": patch.file_bytes,
        "payload_bytes": patch.payload_bytes,
        "touched_bytes": None if reach is None else reach.touched_bytes,
        "model_bytes": patches.reach_of(patch.metadata).model_bytes,
        **patch.metadata.model_dump(mode="json", exclude={"model"}),
    }
    write_result(as_json, document, *_patch_tables(patch, reach))


def _patch_tables(patch: "Patch", reach: "Reach | None") -> Iterator[Table]:
    metadata, alpha = patch.metadata, patch.metadata.alpha
    rows: list[tuple[str, object]] = [
        ("kind", metadata.kind),
        ("digest", patch.digest),
        ("for the clean weights", metadata.clean_weights),
        ("architecture", metadata.architecture),
        ("layers", ", ".join(metadata.layers) or "-"),
        ("touches", _touches(reach)),
        ("bits", metadata.bits),
        ("bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"),
        ("alpha", f"{alpha.recommended:g}, from {alpha.minimum:g} to {alpha.maximum:g}"),
    ]
    if metadata.corruption is not None:
        rows.append(("corruption", f"{metadata.corruption}, severity {metadata.severity}"))
    if metadata.attack is not None:
        budget = "" if metadata.budget is None else f", budget {metadata.budget:g}"
        rows.append(("attack", f"{metadata.attack}{budget}"))
    if metadata.dataset is not None:
        rows.append(("dataset", metadata.dataset))
    if metadata.recipe is not None:
        rows.append(("recipe", f"{metadata.recipe.name}, seed {metadata.recipe.seed}"))
    for digest, strength in patch.parts:
        rows.append(("part", f"{digest[:12]} at alpha {strength:g}"))
    yield Table.of(("", ""), rows, f"patch {patch.name}", left=2)
    card = metadata.card
    if card is not None:
        columns = (
            Column("alpha", "alpha", "g"),
            Column("TA %", "ta", ".1f"),
            Column("RA %", "ra", ".1f"),
        )
        yield Table(columns, card.points, f"robustness card, {card.images:,} images")


def _touches(reach: "Reach | None") -> str:
    if reach is None:
        return "not known: a part is not in the store"
    return (
        f"{len(reach.layers)} layers, {reach.weights} of {reach.model_weights} weight tensors, "
        f"{reach.touched_bytes:,} bytes ({100 * reach.share:.3g} %) of the model"
    )


def _model_document(model: "Classifier") -> dict[str, Any]:
    identity = patches.identify(model.state_dict())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "type": "model",
        **model.spec.model_dump(mode="json"),
        "architecture": identity.architecture,
        "weights": identity.clean_weights,
        "parameters": parameters,
        "layers": [
            {"name": layer.name, "parameters": list(layer.parameters)}
            for layer in models.ordered_layers(model)
        ],
    }


def _model_tables(document: dict[str, Any]) -> Iterator[Table]:
    names = ("width", "batch_norm", "folded", "input_size", "num_classes")
    rows = [
        *((name.replace("_", " "), str(document[name])) for name in names),
        ("classes", ", ".join(document["classes"]) or "-"),
        ("parameters", f"{document['parameters']:,}"),
        ("architecture", document["architecture"]),
        ("weights", document["weights"]),
    ]
    yield Table.of(("", ""), rows, f"model {document['network']}", left=2)
    layers = [
        (number, layer["name"], len(layer["parameters"]))
        for number, layer in enumerate(document["layers"], start=1)
    ]
    columns = Column("K"), Column("layer", left=True), Column("tensors")
    yield Table(columns, layers, "layers, shallowest first")
