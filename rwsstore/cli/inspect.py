"""`rws inspect`, and how a patch is shown."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from rwsstore import bundled, files, models, patches
from rwsstore.cli import options as opt
from rwsstore.cli.output import card_table, facts_table, made_against, write_result
from rwsstore.errors import FormatError, MissingFileError, RwsError
from rwsstore.tables import Column, Table


@click.command("inspect")
@click.argument("what", metavar="FILE|PATCH|bundled")
@opt.store_option
@opt.json_option
def command(what: str, store_path: Path | None, as_json: bool) -> None:
    """Show a checkpoint's network, layers and fingerprints, or a patch's description and card.

    The argument is a file, a patch in the store by name, version or digest, or "bundled": the
    model that comes with rwsstore.
    """
    path = Path(what)
    if what == bundled.BUNDLED:
        _show_model(bundled.bundled_model(), as_json=as_json)
    elif path.is_file():
        if path.suffix == ".safetensors" and _is_patch(path):
            show_patch(patches.Patch.from_file(path), store_path, as_json=as_json)
        else:
            _show_model(models.load_checkpoint(path), as_json=as_json)
    elif path.suffix or "/" in what:
        raise MissingFileError(f"there is no file {what}")
    else:
        show_patch(opt.open_store(store_path).get(what), store_path, as_json=as_json)


def _is_patch(path: Path) -> bool:
    """Whether the file's description speaks of a kind of patch; a checkpoint's has a network."""
    limit = patches.MAX_PATCH_BYTES
    if path.stat().st_size > limit:
        return False
    try:
        data = files.read_bounded(path, limit=limit, what="file")
        header = files.read_header(data, what=str(path))
    except FormatError:
        return True
    return '"kind":' in header.metadata.get("rwsstore", "")


def show_patch(patch: "patches.Patch", store_path: Path | None, *, as_json: bool) -> None:
    """Write a patch's description and card.

    Args:
        patch: to be shown.
        store_path: as of `store_option`; the parts of a composed patch are there.
        as_json: as JSON instead of tables.
    """
    metadata, alpha = patch.metadata, patch.metadata.alpha
    reach, touches = None, "not known: a part is not in the store"
    with suppress(RwsError):  # a part of a composed patch is not at hand
        if patch.parts:
            reach = opt.open_store(store_path).reach(patch)
        else:
            reach = patches.reach_of(metadata)
        touches = (
            f"{len(reach.layers)} layers, {reach.weights} of {reach.model_weights} weight tensors, "
            f"{reach.touched_bytes:,} bytes ({100 * reach.share:.3g} %) of the model"
        )
    document = {
        "type": "patch",
        "digest": patch.digest,
        "file_bytes": patch.file_bytes,
        "payload_bytes": patch.payload_bytes,
        "touched_bytes": None if reach is None else reach.touched_bytes,
        "model_bytes": patches.reach_of(metadata).model_bytes,
        **metadata.model_dump(mode="json", exclude={"model"}),
    }
    rows: list[tuple[str, object]] = [
        ("kind", metadata.kind),
        ("digest", patch.digest),
        ("for the clean weights", metadata.clean_weights),
        ("architecture", metadata.architecture),
        ("layers", ", ".join(metadata.layers) or "-"),
        ("touches", touches),
        ("bits", metadata.bits),
        ("bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"),
        ("alpha", f"{alpha.recommended:g}, from {alpha.minimum:g} to {alpha.maximum:g}"),
        *made_against(metadata),
    ]
    if metadata.recipe is not None:
        rows.append(("recipe", f"{metadata.recipe.name}, seed {metadata.recipe.seed}"))
    for digest, strength in patch.parts:
        rows.append(("part", f"{digest[:12]} at alpha {strength:g}"))
    tables = [facts_table(f"patch {patch.name}", rows)]
    if metadata.card is not None:
        tables.append(card_table(metadata.card.images, metadata.card.points))
    write_result(as_json, document, *tables)


def _show_model(model: "models.Classifier", *, as_json: bool) -> None:
    identity = patches.identify(model.state_dict())
    layers = models.ordered_layers(model)
    document: dict[str, Any] = {
        "type": "model",
        **model.spec.model_dump(mode="json"),
        "architecture": identity.architecture,
        "weights": identity.clean_weights,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": [{"name": layer.name, "parameters": list(layer.parameters)} for layer in layers],
    }
    names = ("width", "batch_norm", "folded", "input_size", "num_classes")
    rows = [
        *((name.replace("_", " "), str(document[name])) for name in names),
        ("classes", ", ".join(document["classes"]) or "-"),
        ("parameters", f"{document['parameters']:,}"),
        ("architecture", document["architecture"]),
        ("weights", document["weights"]),
    ]
    columns = Column("K"), Column("layer", left=True), Column("tensors")
    numbered = [
        (number, layer.name, len(layer.parameters)) for number, layer in enumerate(layers, start=1)
    ]
    write_result(
        as_json,
        document,
        facts_table(f"model {document['network']}", rows),
        Table(columns, numbered, "layers, shallowest first"),
    )
