"""`rws train` and `rws bundle`: a clean model, and one with all its patches."""

from pathlib import Path
from typing import Any

import click
import platformdirs

from rwsstore import data, making, measure, models, training
from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.cli import options as opt, recipes
from rwsstore.cli.card import measured_card
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError, MissingFileError
from rwsstore.progress import ConsoleReporter

_DEFAULTS = training.TrainingConfig()
_CARD_IMAGES = 1000
"""Held-out images on which compute formats are compared, at most: a matter of seconds."""


@click.command("train", epilog=recipes.recipes_help())
@opt.dataset_option
@click.option("--out", type=opt.PATH, required=True, help="OUT.safetensors.")
@click.option("--force", is_flag=True, help="Replace OUT; patches of that model fit no longer.")
@click.option(
    "--network",
    default="vgg16",
    help=f"{', '.join(models.NETWORKS)}, or torchvision:NAME.",
)
@click.option("--width", type=float, default=1.0, help="Factor on the number of channels.")
@click.option("--batch-norm/--no-batch-norm", default=True, help="Build with BatchNorm.")
@click.option(
    "--size",
    type=click.IntRange(8, 1024),
    help="Height and width in pixels. Default: the images' own.",
)
@click.option(
    "--recipe",
    type=click.Choice(list(training.RECIPES)),
    default="clean",
    help="clean: images as they are. augmented: all corruptions at once, the baseline. robust: one "
    "corruption. pgd_at, fast_at, trades: adversarial training. sharpness_aware: clean images, "
    "steps of SAM. The others make patches (rws extract): they go on training the model of --init, "
    "or begin with --no-batch-norm. Settings and training defaults are listed below.",
)
@opt.corruption_option("Of --recipe robust.")
@click.option(
    "--severity",
    type=click.IntRange(1, 5),
    default=5,
    help="Of the corruptions.",
)
@click.option(
    "--layers",
    metavar="K|LIST",
    help="Of robust: train only so many of the shallowest layers. Of the recipes below: which "
    "layers train, by number or name: 1-8 or conv2,conv3.",
)
@recipes.settings_option
@click.option(
    "--init",
    type=opt.PATH,
    help="Start from this checkpoint. Recipes that make patches go on with it as it is; the others "
    "fold it first, which is the anchor, and take a tenth of the learning rate.",
)
@click.option(
    "--anchor-epoch",
    type=click.IntRange(min=1),
    help="Fold after so many epochs, keep that as the anchor, go on folded.",
)
@click.option("--label-smoothing", type=float, default=_DEFAULTS.label_smoothing)
@recipes.training_options(_DEFAULTS)
@opt.json_option
def command(**options: Any) -> None:
    """Train a classifier and write it as OUT.

    OUT holds the clean model, BatchNorm folded into the convolutions. Beside it lie
    OUT.unfolded.safetensors, the network as it was trained (for `rws evaluate --rival`), and, with
    --anchor-epoch or --init, OUT.anchor.safetensors (for `rws extract --anchor-model`).
    OUT.card.json says how far each compute format agrees with float32 on the held-out images
    (see `rws card`).

    The best epoch is chosen on images held out of the training split; the test split is not
    looked at. An interrupted run goes on where it was when the same command is given again.

    \b
    Example, a quarter-width VGG-16 on a folder of CIFAR-10 images:
      rws train --dataset imagefolder:cifar10 --width 0.25 --epochs 15 --out clean.safetensors

    \b
    Example, the same against adversarial images, then its most critical layers alone:
      rws train --dataset cifar10:data --recipe pgd_at --out at.safetensors
      rws train --dataset cifar10:data --recipe clat --init at.safetensors --out clat.safetensors
    """
    out: Path = options["out"]
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: expected a name that ends in .safetensors")
    if not out.absolute().parent.is_dir():
        raise MissingFileError(f"--out {out}: there is no folder {out.absolute().parent}")
    state_file = out.with_suffix(".state")
    if out.exists() and not options["force"] and not state_file.exists():  # else it is this run's
        raise ConfigError(
            f"--out {out} is there already, and patches made for that model fit no other: take "
            "another name, or --force to replace it"
        )
    recipes.check_together(options)
    config = recipes.training_config(options)
    reporter = ConsoleReporter()
    images = data.load_images(options["dataset"], "train", size=options["size"], progress=reporter)
    train, validation = training.hold_out(
        images, validation=options["validation"], limit=options["limit"], seed=config.seed
    )
    if options["init"] is None:
        fields = {name: options[name] for name in ("network", "width", "batch_norm")}
        start = new_network(train, seed=options["seed"], **fields)
    else:
        start = models.load_checkpoint(options["init"])
        if start.spec.num_classes != len(train.classes):
            raise ConfigError(
                f"--init {options['init']} has {start.spec.num_classes} classes, the dataset "
                f"{len(train.classes)}"
            )
    recipe = recipes.recipe_of(options, start)
    run = training.train_classifier(
        start,
        recipe,
        train,
        validation,
        config,
        anchor_epoch=options["anchor_epoch"],
        pretrained=options["init"] is not None and not isinstance(recipe, training.WeightRecipe),
        state_file=state_file,
        mode=recipes.pick_mode(options["mode"], start, config, len(train)),
        progress=reporter,
    )
    # Which formats the model may be served in, by some of the held-out images.
    some = validation if len(validation) <= _CARD_IMAGES else validation.limit(_CARD_IMAGES)
    card = measured_card(run.model, some, progress=reporter)
    written = []
    for word, model in (("", run.model), (".unfolded", run.unfolded), (".anchor", run.anchor)):
        if model is not None:
            path = out.with_suffix(f"{word}.safetensors")
            models.save_checkpoint(path, model)
            written.append(path)
    written.append(models.write_model_card(out, card))
    for leftover in (state_file, state_file.with_name(f"{state_file.name}.early")):
        leftover.unlink(missing_ok=True)
    _tell(options["as_json"], run, written, recipe, len(validation))


def new_network(images: "data.ImageSet", *, seed: int, **fields: Any) -> "models.Classifier":
    """Build a network for some images: their classes, their size, normalized by their pixels.

    Args:
        images: to train on.
        seed: of the weights.
        fields: others of `models.ModelSpec`.
    """
    mean, std = training.pixel_statistics(images)
    spec = models.ModelSpec(
        num_classes=len(images.classes),
        classes=images.classes,
        input_size=int(images.images.shape[-1]),
        mean=mean,
        std=std,
        **fields,
    )
    return models.build(spec, seed=seed)


def _tell(
    as_json: bool,
    run: "training.ClassifierRun",
    written: list[Path],
    recipe: "training.Recipe",
    validation: int,
) -> None:
    best, scored_on = run.best, recipe.scored_on(validation)
    terms = ", ".join(f"{name} {value:.3f}" for name, value in best.terms.items())
    write_result(
        as_json,
        {
            "written": [str(path) for path in written],
            "validation_accuracy": best.accuracy,
            "validation_images": validation,
            "scored_on": scored_on,
            "best_epoch": best.epoch,
            "remarks": list(recipe.remarks()),
            "history": [record.model_dump() for record in run.history],
        },
        *(f"wrote {path}" for path in written),
        f"{best.accuracy:.1f} % on {scored_on} (epoch {best.epoch} of {len(run.history)})",
        *([f"loss {best.loss:.3f} in that epoch: {terms}"] if terms else []),
        *recipe.remarks(),
        f"next: rws extract --model {written[0]} --dataset ... --corruptions fog",
    )


@click.command("bundle")
@click.option(
    "--config",
    type=opt.PATH,
    required=True,
    help="TOML file with every parameter.",
)
@opt.dataset_option
@click.option("--out", type=opt.PATH, required=True, help="Folder of the bundle; new.")
@click.option(
    "--work",
    type=opt.PATH,
    help="Folder for what is kept between runs. Default: one for this run in the user's cache.",
)
@click.option(
    "--measure-again",
    is_flag=True,
    help="Measure the compute formats of a finished bundle again, and rewrite its card alone.",
)
@opt.json_option
def bundle(
    config: Path,
    dataset: str,
    out: Path,
    work: Path | None,
    measure_again: bool,
    as_json: bool,
) -> None:
    """Train a clean model, extract its patches, measure both once on the test images.

    Writes the model, a read-only store of the patches and a model card. Everything is chosen on
    images split off the training set. An interrupted run goes on where it was: run the same
    command again. The network before folding and the patches at 32 bits stay in the work folder.

    \b
    Example:
      rws bundle --config rwsstore/bundle/cifar10.toml --dataset imagefolder:cifar10 --out mine
    """
    settings = making.read_config(config)
    reporter = ConsoleReporter()
    size = settings.network.input_size
    train = data.load_images(dataset, "train", size=size, progress=reporter)
    test = data.load_images(dataset, "test", size=size, progress=reporter)
    if work is None:  # a folder that two bundles never share
        key = canonical_json([settings.model_dump_json(), str(out.absolute())])
        cache = platformdirs.user_cache_path("rwsstore", appauthor=False)
        work = cache / "bundles" / sha256_hex(key.encode())[:16]
    card = making.build_bundle(
        settings, train, test, out, work=work, measure_again=measure_again, progress=reporter
    )
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    write_result(
        as_json,
        card.model_dump(mode="json"),
        measure.report_table(card.report),
        f"wrote {out}: {len(card.patches)} patches, {size:,} bytes altogether",
        f"read {out / 'CARD.md'}, and use it: rws evaluate --model {out / 'model.safetensors'} "
        f"--store {out / 'store'} --dataset ...",
    )
