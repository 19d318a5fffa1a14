"""What `rws extract` does with a recipe against failing weights or adversaries."""

__all__ = ["delta_options", "extract_one"]

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rwsstore.cli.options import load_model, open_store
from rwsstore.cli.recipes import pick_mode, read_settings, refuse, settings_option, training_of
from rwsstore.config import validated
from rwsstore.data import load_images, match_classes
from rwsstore.making import DeltaConfig, DeltaOptions, SweepItem, publish_delta
from rwsstore.progress import ConsoleReporter
from rwsstore.store import Store
from rwsstore.training import WEIGHT_RECIPES, hold_out

_Command = Callable[..., Any]
_DEFAULTS = DeltaOptions()
_OF_CORRUPTIONS = ("corruptions", "severity", "training_mode", "anchor", "anchor_model")
_OPTIONS = (
    settings_option,
    click.option("--name", help="Of the patch. Default: the recipe's."),
    click.option(
        "--card-images",
        type=click.IntRange(min=1),
        default=_DEFAULTS.card_images,
        show_default=True,
        help="Held-out images that the card is measured on, at most.",
    ),
    click.option(
        "--card-budget",
        type=float,
        help="ε of what the patch is against, where its card is measured. Default: the recipe's "
        "own.",
    ),
    click.option(
        "--card-flips",
        type=click.IntRange(min=1),
        default=_DEFAULTS.card_flips,
        show_default=True,
        help="Bits that are flipped for the card of hessian_aware, one at a time.",
    ),
)


def delta_options(command: _Command) -> _Command:
    """Add what only these recipes take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def extract_one(
    options: dict[str, Any], state_folder: Path
) -> tuple[Store, SweepItem, tuple[str, ...]]:
    """Make one patch, unless the store holds it already.

    Returns:
        (the store, the patch in it, the recipe's remarks on a training that took place).

    Raises:
        UsageError: an option that does not go with the recipe.
        RwsError: as `publish_delta` does.
    """
    config = _config(options)
    reporter = ConsoleReporter()
    clean = load_model(options)
    recipe = config.recipe_for(clean)
    size = clean.spec.input_size
    images = load_images(options["dataset"], "train", size=size, progress=reporter)
    images = match_classes(images, clean.spec.classes, num_classes=clean.spec.num_classes)
    train, validation = hold_out(
        images, validation=options["validation"], limit=options["limit"], seed=options["seed"]
    )
    store, chosen = open_store(options["store_path"]), config.options
    batch_size = (chosen.training or recipe.defaults).batch_size
    item = publish_delta(
        clean,
        recipe,
        train,
        validation,
        chosen,
        store,
        name=config.patch_name,
        state_folder=state_folder,
        mode=pick_mode(options["mode"], clean, size, batch_size),
        progress=reporter,
    )
    return store, item, recipe.remarks() if item.extracted else ()


def _config(options: dict[str, Any]) -> DeltaConfig:
    refuse(options["recipe"], *_OF_CORRUPTIONS)
    if options["dataset"] is None:
        raise click.UsageError("--dataset is missing")
    recipe = WEIGHT_RECIPES[options["recipe"]]
    fields = {
        "recipe": recipe.name,
        "name": options["name"],
        "settings": read_settings(recipe, options["settings"]),
        "layers": options["layers"],
        "bits": int(options["bits"]),
        "training": training_of(recipe.defaults, options),
        "card_images": options["card_images"],
        "card_budget": options["card_budget"],
        "card_flips": options["card_flips"],
    }
    return validated(DeltaConfig, fields, what="extraction")
