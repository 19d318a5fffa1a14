"""`rws train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import data, models, training
from rwsstore.cli.card import measured_card
from rwsstore.cli.options import corruption_option, dataset_option, json_option
from rwsstore.cli.output import write_result
from rwsstore.cli.recipes import (
    check_together,
    pick_mode,
    recipe_of,
    recipes_help,
    settings_option,
    training_config,
    training_options,
)
from rwsstore.errors import ConfigError, MissingFileError
from rwsstore.models import NETWORKS
from rwsstore.progress import ConsoleReporter
from rwsstore.training import RECIPES, TrainingConfig

if TYPE_CHECKING:
    from rwsstore.data import ImageSet
    from rwsstore.models import Classifier
    from rwsstore.training import ClassifierRun, Recipe

_DEFAULTS = TrainingConfig()
_CARD_IMAGES = 1000
"""Held-out images on which compute formats are compared, at most: a matter of seconds."""


@click.command("train", short_help="Train a classifier.", epilog=recipes_help())
@dataset_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="OUT.safetensors.")
@click.option(
    "--network",
    default="vgg16",
    show_default=True,
    help=f"{', '.join(NETWORKS)}, or torchvision:NAME.",
)
@click.option(
    "--width", type=float, default=1.0, show_default=True, help="Factor on the number of channels."
)
@click.option(
    "--batch-norm/--no-batch-norm", default=True, show_default=True, help="Build with BatchNorm."
)
@click.option(
    "--size",
    type=click.IntRange(8, 1024),
    help="Height and width in pixels. Default: the images' own.",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default="clean",
    show_default=True,
    help="clean: images as they are. augmented: all corruptions at once, the baseline. robust: one "
    "corruption. pgd_at, fast_at, trades: adversarial training. sharpness_aware: clean images, "
    "steps of SAM. The others make patches (rws extract): they go on training the model of --init, "
    "or begin with --no-batch-norm. Settings and training defaults are listed below.",
)
@corruption_option("Of --recipe robust.")
@click.option(
    "--severity",
    type=click.IntRange(1, 5),
    default=5,
    show_default=True,
    help="Of the corruptions.",
)
@click.option(
    "--layers",
    metavar="K|LIST",
    help="Of robust: train only so many of the shallowest layers. Of the recipes below: which "
    "layers train, by number or name: 1-8 or conv2,conv3.",
)
@settings_option
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Start from this checkpoint. Recipes that make patches go on with it as it is; the others "
    "fold it first, which is the anchor, and take a tenth of the learning rate.",
)
@click.option(
    "--anchor-epoch",
    type=click.IntRange(min=1),
    help="Fold after so many epochs, keep that as the anchor, go on folded.",
)
@click.option("--label-smoothing", type=float, default=_DEFAULTS.label_smoothing, show_default=True)
@training_options(_DEFAULTS)
@json_option
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
    check_together(options)
    config = training_config(options)
    reporter = ConsoleReporter()
    images = data.load_images(options["dataset"], "train", size=options["size"], progress=reporter)
    train, validation = training.hold_out(
        images, validation=options["validation"], limit=options["limit"], seed=config.seed
    )
    start = _start(options, train)
    recipe = recipe_of(options, start)
    state_file = out.with_suffix(".state")
    run = training.train_classifier(
        start,
        recipe,
        train,
        validation,
        config,
        anchor_epoch=options["anchor_epoch"],
        pretrained=options["init"] is not None and not isinstance(recipe, training.WeightRecipe),
        state_file=state_file,
        mode=pick_mode(options["mode"], start, start.spec.input_size, config.batch_size),
        progress=reporter,
    )
    # Which formats the model may be served in, by some of the held-out images.
    some = validation if len(validation) <= _CARD_IMAGES else validation.limit(_CARD_IMAGES)
    card = measured_card(run.model, some, progress=reporter)
    written = [*_save(out, run), models.write_model_card(out, card)]
    for leftover in (state_file, state_file.with_name(f"{state_file.name}.early")):
        leftover.unlink(missing_ok=True)
    _tell(options["as_json"], run, written, recipe, len(validation))


def _start(options: dict[str, Any], train: "ImageSet") -> "Classifier":
    if options["init"] is not None:
        start = models.load_checkpoint(options["init"])
        if start.spec.num_classes != len(train.classes):
            raise ConfigError(
                f"--init {options['init']} has {start.spec.num_classes} classes, the dataset "
                f"{len(train.classes)}"
            )
        return start
    mean, std = training.pixel_statistics(train)
    spec = models.ModelSpec(
        network=options["network"],
        num_classes=len(train.classes),
        classes=train.classes,
        width=options["width"],
        batch_norm=options["batch_norm"],
        input_size=int(train.images.shape[-1]),
        mean=mean,
        std=std,
    )
    return models.build(spec, seed=options["seed"])


def _save(out: Path, run: "ClassifierRun") -> list[Path]:
    written = []
    for word, model in (("", run.model), (".unfolded", run.unfolded), (".anchor", run.anchor)):
        if model is not None:
            path = out.with_suffix(f"{word}.safetensors")
            models.save_checkpoint(path, model)
            written.append(path)
    return written


def _tell(
    as_json: bool, run: "ClassifierRun", written: list[Path], recipe: "Recipe", validation: int
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
