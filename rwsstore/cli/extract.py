"""`rws extract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import platformdirs

from rwsstore import data, making, models, training
from rwsstore.cli import options as opt, recipes
from rwsstore.cli.output import write_json, write_lines
from rwsstore.config import validated
from rwsstore.patches import BIT_WIDTHS
from rwsstore.progress import ConsoleReporter

if TYPE_CHECKING:
    from rwsstore.cpu import ComputeMode
    from rwsstore.store import Store

    _Work = tuple[Store, list[making.Plan], ComputeMode]

_ROBUST = "robust"
_OPTIONS = making.ExtractionOptions()
_TRAINING = _OPTIONS.training
_DELTA = making.DeltaOptions()
_OF_SIGNATURES = ("corruptions", "severity", "training_mode", "anchor", "anchor_model")
_OF_DELTAS = ("settings", "name", "card_images", "card_budget", "card_flips")


@click.command(
    "extract",
    epilog=recipes.recipes_help(patches=True),
)
@click.option(
    "--config",
    type=opt.PATH,
    help="Take every parameter from this TOML file; no other option but --json then.",
)
@opt.model_options
@click.option(
    "--recipe",
    type=click.Choice([_ROBUST, *training.WEIGHT_RECIPES]),
    default=_ROBUST,
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
    help="all, a group (noise, blur, weather, digital), or names: fog,gaussian_noise.",
)
@opt.store_option
@click.option("--severity", type=click.IntRange(1, 5), default=_OPTIONS.severity)
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
    help="Train these layers alone, or all and cut the rest off.",
)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in BIT_WIDTHS]),
    default=str(_OPTIONS.bits),
    help="Bits a weight, as stored.",
)
@click.option(
    "--anchor",
    type=click.Choice(["clean", "pretrained", "early"]),
    default="clean",
    help="Where the counterpart's training starts.",
)
@click.option(
    "--anchor-model",
    type=opt.PATH,
    help="Checkpoint of the anchor, if it is not the clean model.",
)
@recipes.settings_option
@click.option("--name", help="Of the patch. Default: the recipe's.")
@click.option(
    "--card-images",
    type=click.IntRange(min=1),
    default=_DELTA.card_images,
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
    help="Bits that are flipped for the card of hessian_aware, one at a time.",
)
@recipes.training_options(_TRAINING)
@opt.json_option
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
        found = opt.given(*sorted(set(options)))
        if found:
            raise click.UsageError(
                f"--config takes every parameter from its file; leave out {', '.join(found)}"
            )
        store, plans, mode = _signatures(making.read_run(config))
    else:
        robust = options["recipe"] == _ROBUST
        recipes.refuse(options["recipe"], *(_OF_DELTAS if robust else _OF_SIGNATURES))
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
        document, lines = _told(item, plan.recipe.remarks() if item.extracted else ())
        done.append(document)
        if not as_json:
            write_lines(lines)
    if as_json:
        write_json({"store": str(store.root), "patches": done})
    else:
        write_lines([f"store: {store.root}"])


def _run_of(options: dict[str, Any]) -> "making.ExtractionRun":
    layers = options["layers"]
    named = training.TrainingConfig.model_fields.keys() & options.keys()
    same = ("dataset", "corruptions", "anchor_model", "limit", "validation", "seed", "mode")
    return making.ExtractionRun.of(
        model=options["model_path"],
        network=opt.spec_of(options),
        store=options["store_path"],
        extraction={
            **{name: options[name] for name in ("severity", "training_mode", "anchor")},
            "layers": _OPTIONS.layers if layers is None else recipes.shallowest_count(layers),
            "bits": int(options["bits"]),
            "training": {**_TRAINING.model_dump(), **{name: options[name] for name in named}},
        },
        **{name: options[name] for name in same},
    )


def _signatures(run: "making.ExtractionRun") -> "_Work":
    clean = opt.read_model(run.model, run.network)
    anchor = None if run.anchor_model is None else opt.read_model(run.anchor_model)
    sets = _images(clean, run.dataset, run.limit, run.validation, run.seed)
    store = opt.open_store(run.store)
    plans = making.signature_plans(clean, run.corruptions, *sets, run.extraction, anchor=anchor)
    images = len(plans) * len(sets[0])
    return store, plans, recipes.pick_mode(run.mode, clean, run.extraction.training, images)


def _delta(options: dict[str, Any]) -> "_Work":
    recipe = training.WEIGHT_RECIPES[options["recipe"]]
    names = ("name", "layers", "card_images", "card_budget", "card_flips")
    fields = {
        "recipe": recipe.name,
        "settings": recipes.read_settings(recipe, options["settings"]),
        "bits": int(options["bits"]),
        "training": recipes.training_of(recipe.defaults, options),
        **{name: options[name] for name in names},
    }
    config = validated(making.DeltaConfig, fields, what="extraction")
    clean = opt.load_model(options)
    configured = config.recipe_for(clean)
    of_images = ("dataset", "limit", "validation", "seed")
    sets = _images(clean, *(options[name] for name in of_images))
    store = opt.open_store(options["store_path"])
    plan = making.delta_plan(clean, configured, *sets, config.options, name=config.patch_name)
    mode = recipes.pick_mode(options["mode"], clean, plan.training, len(sets[0]))
    return store, [plan], mode


def _images(
    clean: "models.Classifier", dataset: str, limit: int | None, validation: int | None, seed: int
) -> "tuple[data.ImageSet, data.ImageSet]":
    """Images to train on, and those held out, labelled as the model's."""
    spec = clean.spec
    images = data.load_images(dataset, "train", size=spec.input_size, progress=ConsoleReporter())
    images = data.match_classes(images, spec.classes, num_classes=spec.num_classes)
    return training.hold_out(images, validation=validation, limit=limit, seed=seed)


def _told(item: "making.SweepItem", remarks: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """What became of one patch: as JSON values, and as lines for people."""
    patch, metadata = item.patch, item.patch.metadata
    document = {
        "name": patch.name,
        "version": item.version,
        "digest": patch.digest,
        "extracted": item.extracted,
        "bits": metadata.bits,
        "file_bytes": patch.file_bytes,
        "payload_bytes": patch.payload_bytes,
        "layers": list(metadata.layers),
        "remarks": list(remarks),
        "card": None if metadata.card is None else metadata.card.model_dump(),
    }
    state = "extracted" if item.extracted else "already there"
    if metadata.card is not None:
        at = {point.alpha: point for point in metadata.card.points}
        clean, patched = at[0.0], at.get(1.0, metadata.card.points[-1])
        state += f", validation RA {clean.ra:.1f} -> {patched.ra:.1f} %"
    lines = [
        f"{patch.name}@{item.version} {patch.digest[:12]} {state}, {patch.file_bytes:,} bytes",
        *(f"  {remark}" for remark in remarks),
    ]
    if remarks:  # they tell of the whole training
        lines.append(f"  in the patch, from the epoch that was kept: {', '.join(metadata.layers)}")
    return document, lines
