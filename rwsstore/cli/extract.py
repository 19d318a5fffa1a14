"""`rws extract`."""

from collections.abc import Iterable, Iterator
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
from rwsstore.progress import ConsoleReporter, Reporter
from rwsstore.training import WEIGHT_OPTIONS

if TYPE_CHECKING:
    from rwsstore.data import ImageSet
    from rwsstore.making import DeltaConfig, ExtractionRun, SweepItem
    from rwsstore.models import Classifier
    from rwsstore.store import Store

    _Told = tuple[SweepItem, tuple[str, ...]]
    """A patch, and what its training has to say."""

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
    type=click.Choice([_ROBUST, *WEIGHT_OPTIONS]),
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
    store, items = _extract(config, options)
    done = []
    for item, remarks in items:
        done.append(_document(item, remarks))
        if not as_json:
            write_lines(_lines(item, remarks))
    if as_json:
        write_json({"store": str(store.root), "patches": done})
    else:
        write_lines([f"store: {store.root}"])


def _extract(config: Path | None, options: dict[str, Any]) -> "tuple[Store, Iterable[_Told]]":
    if config is not None:
        return _signatures(making.read_run(_alone(config)))
    refuse(options["recipe"], *(_OF_DELTAS if options["recipe"] == _ROBUST else _OF_SIGNATURES))
    if options["dataset"] is None:
        raise click.UsageError("--dataset is missing (or give --config FILE)")
    if options["recipe"] == _ROBUST:
        return _signatures(_run_of(options))
    return _delta(_config_of(options), options)


def _alone(config: Path) -> Path:
    names = set(click.get_current_context().params) - {"config", "as_json"}
    found = given(*sorted(names))
    if found:
        raise click.UsageError(
            f"--config takes every parameter from its file; leave out {', '.join(found)}"
        )
    return config


def _run_of(options: dict[str, Any]) -> "ExtractionRun":
    layers = options["layers"]
    named = training.TrainingConfig.model_fields.keys() & options.keys()
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


def _config_of(options: dict[str, Any]) -> "DeltaConfig":
    recipe = training.WEIGHT_RECIPES[options["recipe"]]
    fields = {
        "recipe": recipe.name,
        "settings": read_settings(recipe, options["settings"]),
        "bits": int(options["bits"]),
        "training": training_of(recipe.defaults, options),
        **{
            name: options[name]
            for name in ("name", "layers", "card_images", "card_budget", "card_flips")
        },
    }
    return validated(making.DeltaConfig, fields, what="extraction")


def _signatures(run: "ExtractionRun") -> "tuple[Store, Iterable[_Told]]":
    reporter, options = ConsoleReporter(), run.extraction
    clean = read_model(run.model, run.network)
    anchor = None if run.anchor_model is None else read_model(run.anchor_model)
    sets = _images(clean, run.dataset, run.limit, run.validation, run.seed, reporter)
    store = open_store(run.store)
    items = making.extract_all(
        clean, run.corruptions, *sets, options, store, anchor=anchor, state_folder=_states(),
        mode=pick_mode(run.mode, clean, clean.spec.input_size, options.training.batch_size),
        progress=reporter,
    )  # fmt: skip
    return store, ((item, ()) for item in items)


def _delta(config: "DeltaConfig", asked: dict[str, Any]) -> "tuple[Store, Iterable[_Told]]":
    reporter, options = ConsoleReporter(), config.options
    clean = load_model(asked)
    recipe = config.recipe_for(clean)
    sets = _images(
        clean, asked["dataset"], asked["limit"], asked["validation"], asked["seed"], reporter
    )
    store = open_store(asked["store_path"])
    batch_size = (options.training or recipe.defaults).batch_size
    item = making.publish_delta(
        clean, recipe, *sets, options, store, name=config.patch_name, state_folder=_states(),
        mode=pick_mode(asked["mode"], clean, clean.spec.input_size, batch_size),
        progress=reporter,
    )  # fmt: skip
    return store, [(item, recipe.remarks() if item.extracted else ())]


def _images(
    clean: "Classifier",
    dataset: str,
    limit: int | None,
    validation: int | None,
    seed: int,
    reporter: Reporter,
) -> "tuple[ImageSet, ImageSet]":
    """Images to train on, and those held out, labelled as the model's."""
    images = data.load_images(dataset, "train", size=clean.spec.input_size, progress=reporter)
    images = data.match_classes(images, clean.spec.classes, num_classes=clean.spec.num_classes)
    return training.hold_out(images, validation=validation, limit=limit, seed=seed)


def _states() -> Path:
    """Where trainings under way are kept."""
    return platformdirs.user_cache_path("rwsstore", appauthor=False) / "runs"


def _lines(item: "SweepItem", remarks: tuple[str, ...]) -> Iterator[str]:
    yield _line(item)
    yield from (f"  {remark}" for remark in remarks)
    if remarks:  # they tell of the whole training
        layers = ", ".join(item.patch.metadata.layers)
        yield f"  in the patch, from the epoch that was kept: {layers}"


def _line(item: "SweepItem") -> str:
    patch = item.patch
    state = "extracted" if item.extracted else "already there"
    card = patch.metadata.card
    gain = ""
    if card is not None:
        at = {point.alpha: point for point in card.points}
        clean, patched = at[0.0], at.get(1.0, card.points[-1])
        gain = f", validation RA {clean.ra:.1f} -> {patched.ra:.1f} %"
    return (
        f"{patch.name}@{item.version} {patch.digest[:12]} {state}{gain}, {patch.file_bytes:,} bytes"
    )


def _document(item: "SweepItem", remarks: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": item.patch.name,
        "version": item.version,
        "digest": item.patch.digest,
        "extracted": item.extracted,
        "bits": item.patch.metadata.bits,
        "file_bytes": item.patch.file_bytes,
        "payload_bytes": item.patch.payload_bytes,
        "layers": list(item.patch.metadata.layers),
        "remarks": list(remarks),
        "card": None if item.patch.metadata.card is None else item.patch.metadata.card.model_dump(),
    }
