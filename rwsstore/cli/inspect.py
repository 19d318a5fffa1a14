"""`rws inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.table import Table

from rwsstore import models, patches
from rwsstore.bundled import BUNDLED, bundled_model
from rwsstore.cli.options import json_option, open_store, store_option
from rwsstore.cli.output import write_result
from rwsstore.errors import FormatError, MissingFileError, RwsError

if TYPE_CHECKING:
    from rwsstore.models import Classifier
    from rwsstore.patches import Patch, Reach


@click.command("inspect", short_help="Show what a checkpoint or a patch is.")
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
        return
    document = _model_document(found)
    write_result(as_json, document, _model_table(document))


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
    data = read_bounded(path, limit=limit, what="file")
    try:
        header = read_header(data, what=str(path))
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
    reach = _reach(patch, store_path)
    write_result(as_json, _patch_document(patch, reach), _patch_table(patch, reach))


def _reach(patch: "Patch", store_path: Path | None) -> "Reach | None":
    """What it touches; None where a part of a composed patch is not at hand."""
    try:
        if patch.parts:
            return open_store(store_path).reach(patch)
        return patches.reach_of(patch.metadata)
    except RwsError:
        return None


def _patch_document(patch: "Patch", reach: "Reach | None") -> dict[str, Any]:
    document = patch.metadata.model_dump(mode="json", exclude={"model"})
    return {
        "type": "patch",
        "digest": patch.digest,
        "file_bytes": patch.file_bytes,
        "payload_bytes": patch.payload_bytes,
        "touched_bytes": None if reach is None else reach.touched_bytes,
        "model_bytes": patches.reach_of(patch.metadata).model_bytes,
        **document,
    }


def _patch_table(patch: "Patch", reach: "Reach | None") -> RenderableType:
    metadata, alpha = patch.metadata, patch.metadata.alpha
    table = _pairs(f"patch {patch.name}")
    rows: list[tuple[str, object]] = [
        ("kind", metadata.kind),
        ("digest", patch.digest),
        ("for the clean weights", metadata.clean_weights),
        ("architecture", metadata.architecture),
        ("layers", ", ".join(metadata.layers) or "-"),
        ("touches", _touches(reach)),
        ("bits", metadata.bits or "-"),
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
    for name, value in rows:
        table.add_row(name, str(value))
    return Group(table, _card_table(patch)) if metadata.card is not None else table


def _touches(reach: "Reach | None") -> str:
    if reach is None:
        return "not known: a part is not in the store"
    return (
        f"{len(reach.layers)} layers, {reach.weights} of {reach.model_weights} weight tensors, "
        f"{reach.touched_bytes:,} bytes ({100 * reach.share:.3g} %) of the model"
    )


def _card_table(patch: "Patch") -> Table:
    card = patch.metadata.card
    assert card is not None  # noqa: S101  (asked before)
    table = Table(title=f"robustness card, {card.images:,} images", title_justify="left")
    for name in ("alpha", "TA %", "RA %"):
        table.add_column(name, justify="right")
    for point in card.points:
        table.add_row(f"{point.alpha:g}", f"{point.ta:.1f}", f"{point.ra:.1f}")
    return table


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


def _model_table(document: dict[str, Any]) -> RenderableType:
    table = _pairs(f"model {document['network']}")
    for name in ("width", "batch_norm", "folded", "input_size", "num_classes"):
        table.add_row(name.replace("_", " "), str(document[name]))
    table.add_row("classes", ", ".join(document["classes"]) or "-")
    table.add_row("parameters", f"{document['parameters']:,}")
    table.add_row("architecture", document["architecture"])
    table.add_row("weights", document["weights"])
    layers = Table(title="layers, shallowest first", title_justify="left")
    layers.add_column("K", justify="right")
    layers.add_column("layer")
    layers.add_column("tensors", justify="right")
    for number, layer in enumerate(document["layers"], start=1):
        layers.add_row(str(number), layer["name"], str(len(layer["parameters"])))
    return Group(table, layers)


def _pairs(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table
