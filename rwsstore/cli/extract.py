"""`rws extract`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import platformdirs

from rwsstore import data, making, training
from rwsstore.cli.options import (
    given,
    json_option,
    load_model,
    model_options,
    open_store,
    read_model,
    spec_of,
    store_option,
)
from rwsstore.cli.output import write_json, write_lines
from rwsstore.cli.recipes import (
    pick_mode,
    read_settings,
    recipes_help,
    refuse,
    settings_option,
    shallowest_count,
    training_of,
    training_options,
)
from rwsstore.config import validated
from rwsstore.making import DeltaOptions, ExtractionOptions
from rwsstore.patches import BIT_WIDTHS
from rwsstore.progress import ConsoleReporter
from rwsstore.training import WEIGHT_RECIPES, TrainingConfig

if TYPE_CHECKING:
    from rwsstore.cpu import ComputeMode
    from rwsstore.data import ImageSet
    from rwsstore.making import ExtractionRun, Plan, SweepItem
    from rwsstore.models import Classifier
    from rwsstore.store import Store

    _Work = tuple[Store, list[Plan], ComputeMode]

_ROBUST = "robust"
_OPTIONS = ExtractionOptions()
_TRAINING = _OPTIONS.training
_DELTA = DeltaOptions()
_OF_SIGNATURES = ("corruptions", "severity", "training_mode", "anchor", "anchor_model")
_OF_DELTAS = ("settings", "name", "card_images", "card_budget", "card_flips")


@click.command(
    "extract",
    short_help="Extract robustness patches into a store.",
    epilog=recipes_help(patches=True),
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Take every parameter from this TOML file; no other option but --json then.",
)
@model_options
@click.option(
    "--recipe",
    type=click.Choice([_ROBUST, *WEIGHT_RECIPES]),
    default=_ROBUST,
    show_default=True,
    help="robust: a patch for each image corruption. The others: one patch against failing weights "
    "or adversaries; training defaults are then those listed below.",
)
@click.option(
    "--dataset",
    metavar="NAME[:PATH]",
    help="Clean training images: digits, cifar10:PATH, cifar100:PATH or imagefolder:PATH.",
)
@click.option(
    "--corruptions",
    default="all",
    show_default=True,
    help="all, a group (noise, blur, weather, digital), or names: fog,gaussian_noise.",
)
@store_option
@click.option("--severity", type=click.IntRange(1, 5), default=_OPTIONS.severity, show_default=True)
@click.option(
    "--layers",
    metavar="K|LIST",
    help="Of robust: how many of the shallowest layers the patch covers.  [default: 5]  Of the "
    "others: which layers train, by number or name: 1-8 or conv2,conv3.  [default: all]",
)
@click.option(
    "--training-mode",
    type=click.Choice(["shallow", "full"]),
    default=_OPTIONS.training_mode,
    show_default=True,
    help="Train these layers alone, or all and cut the rest off.",
)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in BIT_WIDTHS]),
    default=str(_OPTIONS.bits),
    show_default=True,
    help="Bits a weight, as stored.",
)
@click.option(
    "--anchor",
    type=click.Choice(["clean", "pretrained", "early"]),
    default="clean",
    show_default=True,
    help="Where the counterpart's training starts.",
)
@click.option(
    "--anchor-model",
    type=click.Path(path_type=Path),
    help="Checkpoint of the anchor, if it is not the clean model.",
)
@settings_option
@click.option("--name", help="Of the patch. Default: the recipe's.")
@click.option(
    "--card-images",
    type=click.IntRange(min=1),
    default=_DELTA.card_images,
    show_default=True,
    help="Held-out images that the card is measured on, at most.",
)
@click.option(
    "--card-budget",
    type=float,
    help="ε of what the patch is against, where its card is measured. Default: the recipe's own.",
)
@click.option(
    "--card-flips",
    type=click.IntRange(min=1),
    default=_DELTA.card_flips,
    show_default=True,
    help="Bits that are flipped for the card of hessian_aware, one at a time.",
)
@training_options(_TRAINING)
@json_option
def command(config: Path | None, as_json: bool, **options: Any) -> None:
    """Train counterparts of a clean model, and publish the difference as patches.

    With --recipe robust, one patch for each corruption, under its name; with the others one patch,
    under the recipe's. Each is published as soon as it is finished. What the store already holds
    for this model and these options is left alone, and an interrupted training goes on where it
    was: run the same command again.

    \b
    Examples:
      rws extract --model clean.safetensors --dataset imagefolder:photos --corruptions fog,snow
      rws extract --config extraction.toml
      rws extract --recipe hessian_aware --dataset imagefolder:photos --layers 9-14 --set draws=2
      rws extract --recipe clat --dataset imagefolder:photos --set epsilon=0.0157 --set k=2
    """
    if config is not None:
        found = given(*sorted(set(options)))
        if found:
            raise click.UsageError(
                f"--config takes every parameter from its file; leave out {', '.join(found)}"
            )
        store, plans, mode = _signatures(making.read_run(config))
    else:
        robust = options["recipe"] == _ROBUST
        refuse(options["recipe"], *(_OF_DELTAS if robust else _OF_SIGNATURES))
        if options["dataset"] is None:
            raise click.UsageError("--dataset is missing (or give --config FILE)")
        store, plans, mode = _signatures(_run_of(options)) if robust else _delta(options)
    done = []
    for plan in plans:
        item = plan.publish(
            store,
            state_folder=platformdirs.user_cache_path("rwsstore", appauthor=False) / "runs",
            mode=mode,
            progress=ConsoleReporter(),
        )
        remarks = plan.recipe.remarks() if item.extracted else ()
        done.append(_document(item, remarks))
        if not as_json:
            write_lines(_lines(item, remarks))
    if as_json:
        write_json({"store": str(store.root), "patches": done})
    else:
        write_lines([f"store: {store.root}"])


def _run_of(options: dict[str, Any]) -> "ExtractionRun":
    layers = options["layers"]
    named = TrainingConfig.model_fields.keys() & options.keys()
    return making.ExtractionRun.of(
        model=options["model_path"],
        network=spec_of(options),
        store=options["store_path"],
        extraction={
            **{name: options[name] for name in ("severity", "training_mode", "anchor")},
            "layers": _OPTIONS.layers if layers is None else shallowest_count(layers),
            "bits": int(options["bits"]),
            "training": {**_TRAINING.model_dump(), **{name: options[name] for name in named}},
        },
        **{
            name: options[name]
            for name in (
                "dataset", "corruptions", "anchor_model", "limit", "validation", "seed", "mode",
            )
        },
    )  # fmt: skip


def _signatures(run: "ExtractionRun") -> "_Work":
    clean = read_model(run.model, run.network)
    anchor = None if run.anchor_model is None else read_model(run.anchor_model)
    sets = _images(clean, run.dataset, run.limit, run.validation, run.seed)
    store = open_store(run.store)
    plans = making.signature_plans(clean, run.corruptions, *sets, run.extraction, anchor=anchor)
    return store, plans, _mode(run.mode, clean, run.extraction.training)


def _delta(options: dict[str, Any]) -> "_Work":
    recipe = WEIGHT_RECIPES[options["recipe"]]
    names = ("name", "layers", "card_images", "card_budget", "card_flips")
    fields = {
        "recipe": recipe.name,
        "settings": read_settings(recipe, options["settings"]),
        "bits": int(options["bits"]),
        "training": training_of(recipe.defaults, options),
        **{name: options[name] for name in names},
    }
    config = validated(making.DeltaConfig, fields, what="extraction")
    clean = load_model(options)
    configured = config.recipe_for(clean)
    sets = _images(
        clean, options["dataset"], options["limit"], options["validation"], options["seed"]
    )
    store = open_store(options["store_path"])
    plan = making.delta_plan(clean, configured, *sets, config.options, name=config.patch_name)
    return store, [plan], _mode(options["mode"], clean, plan.training)


def _images(
    clean: "Classifier", dataset: str, limit: int | None, validation: int | None, seed: int
) -> "tuple[ImageSet, ImageSet]":
    """Images to train on, and those held out, labelled as the model's."""
    spec = clean.spec
    images = data.load_images(dataset, "train", size=spec.input_size, progress=ConsoleReporter())
    images = data.match_classes(images, spec.classes, num_classes=spec.num_classes)
    return training.hold_out(images, validation=validation, limit=limit, seed=seed)


def _mode(choice: str, clean: "Classifier", schedule: TrainingConfig) -> "ComputeMode":
    return pick_mode(choice, clean, clean.spec.input_size, schedule.batch_size)


def _lines(item: "SweepItem", remarks: tuple[str, ...]) -> Iterator[str]:
    patch = item.patch
    state = "extracted" if item.extracted else "already there"
    card = patch.metadata.card
    gain = ""
    if card is not None:
        at = {point.alpha: point for point in card.points}
        clean, patched = at[0.0], at.get(1.0, card.points[-1])
        gain = f", validation RA {clean.ra:.1f} -> {patched.ra:.1f} %"
    yield (
        f"{patch.name}@{item.version} {patch.digest[:12]} {state}{gain}, {patch.file_bytes:,} bytes"
    )
    yield from (f"  {remark}" for remark in remarks)
    if remarks:  # they tell of the whole training
        yield f"  in the patch, from the epoch that was kept: {', '.join(patch.metadata.layers)}"


def _document(item: "SweepItem", remarks: tuple[str, ...]) -> dict[str, Any]:
    metadata = item.patch.metadata
    return {
        "name": item.patch.name,
        "version": item.version,
        "digest": item.patch.digest,
        "extracted": item.extracted,
        "bits": metadata.bits,
        "file_bytes": item.patch.file_bytes,
        "payload_bytes": item.patch.payload_bytes,
        "layers": list(metadata.layers),
        "remarks": list(remarks),
        "card": None if metadata.card is None else metadata.card.model_dump(),
    }
