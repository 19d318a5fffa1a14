"""Which recipe `rws train` trains with, and how: what its options say together."""

__all__ = ["check_together", "recipe_of", "training_config"]

from typing import Any

from rwsstore.analysis.names import parse_layers
from rwsstore.cli.recipe_options import read_settings, refuse, shallowest_count, training_of
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier
from rwsstore.training import (
    CONFIGURED_RECIPES,
    WEIGHT_RECIPES,
    AugmentedRecipe,
    CleanRecipe,
    Recipe,
    RobustRecipe,
    TrainingConfig,
)

_OF_A_NEW_NETWORK = ("network", "width", "batch_norm")


def check_together(options: dict[str, Any]) -> None:
    """Refuse options that do not go with the recipe, before any image is read.

    Raises:
        ConfigError, UsageError: such an option, or one that the recipe needs is missing.
    """
    recipe = options["recipe"]
    if (recipe == "robust") != (options["corruption"] is not None):
        raise ConfigError("--recipe robust and --corruption go together")
    if recipe in WEIGHT_RECIPES:
        if options["init"] is None and options["batch_norm"]:
            raise ConfigError(
                f"--recipe {recipe} goes on training a model, and leaves BatchNorm's statistics as "
                "they are: name one with --init, or begin with --no-batch-norm"
            )
        refuse(recipe, "anchor_epoch", "severity")
        if options["init"] is not None:
            refuse(f"{recipe} --init", *_OF_A_NEW_NETWORK)
    elif options["layers"] is not None and recipe not in ("robust", *CONFIGURED_RECIPES):
        raise ConfigError("--layers goes with --recipe robust and those that have settings")
    elif recipe not in CONFIGURED_RECIPES:
        refuse(recipe, "settings")


def training_config(options: dict[str, Any]) -> TrainingConfig:
    """The training's parameters; those of a recipe with settings are its own where none are given.

    Raises:
        ConfigError: one is out of its range.
    """
    if options["recipe"] in CONFIGURED_RECIPES:
        fields = training_of(CONFIGURED_RECIPES[options["recipe"]].defaults, options)
    else:
        fields = {name: options[name] for name in TrainingConfig.model_fields if name in options}
    try:
        return TrainingConfig(**fields)
    except ValueError as error:
        raise ConfigError(f"training: {error}") from None


def recipe_of(options: dict[str, Any], start: Classifier) -> Recipe:
    """Make the recipe that was named.

    Raises:
        ConfigError: a setting out of its range.
        UnknownNameError: no such setting or layer.
    """
    name = options["recipe"]
    if name in CONFIGURED_RECIPES:
        settings: dict[str, Any] = read_settings(CONFIGURED_RECIPES[name], options["settings"])
        if options["layers"] is not None:
            settings["layers"] = parse_layers(start, options["layers"])
        return CONFIGURED_RECIPES[name].configured(settings)
    if name == "robust":
        layers = options["layers"]
        count = None if layers is None else shallowest_count(layers)
        return RobustRecipe(options["corruption"], options["severity"], layers=count)
    if name == "augmented":
        return AugmentedRecipe(severity=options["severity"])
    return CleanRecipe()
