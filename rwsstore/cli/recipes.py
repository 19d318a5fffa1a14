"""Recipes on the command line: their options and settings, and a help text made of them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from rwsstore import models, training
from rwsstore.cli import options as opt
from rwsstore.config import validated
from rwsstore.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from rwsstore.cpu import ComputeMode


def training_options(defaults: training.TrainingConfig) -> Callable[[Any], Any]:
    """Add what both kinds of training take: schedule, augmentation, held-out images, arithmetic."""
    return opt.several(
        click.option("--epochs", type=int, default=defaults.epochs),
        click.option("--batch-size", type=int, default=defaults.batch_size),
        click.option(
            "--learning-rate",
            type=float,
            default=defaults.learning_rate,
            help="Its peak; warm-up before, a cosine to zero after.",
        ),
        click.option("--weight-decay", type=float, default=defaults.weight_decay),
        click.option(
            "--padding",
            type=int,
            default=defaults.padding,
            help="Border of the random crop, in pixels.",
        ),
        click.option(
            "--flip/--no-flip",
            default=defaults.flip,
            help="Mirror half of the images; not for classes that a mirror changes.",
        ),
        click.option(
            "--validation",
            type=click.IntRange(min=1),
            help="Training images held out to choose the best epoch. Default: a tenth, at most "
            "5,000.",
        ),
        opt.limit_option,
        opt.seed_option(),
        click.option(
            "--mode",
            type=click.Choice(["auto", "plain", "bf16"]),
            default="auto",
            help="Arithmetic: plain float32, bfloat16 with channels last, or whichever a short "
            "measurement finds faster here.",
        ),
    )


_WORTH_MEASURING = 50
"""Steps of a training that measuring the modes, 16 steps, can pay for."""


def pick_mode(
    choice: str, model: "models.Classifier", config: training.TrainingConfig, images: int
) -> "ComputeMode":
    """Turn --mode into a mode, measuring if it is left to us and worth it.

    Args:
        choice: what was given.
        model: as it starts.
        config: of the training.
        images: that it shows in an epoch, or all trainings together.
    """
    import torch

    from rwsstore import cpu

    if choice == "auto":
        if config.epochs * math.ceil(images / config.batch_size) < _WORTH_MEASURING:
            return cpu.PLAIN
        size = model.spec.input_size
        return cpu.probe(model, torch.zeros(config.batch_size, 3, size, size, dtype=torch.uint8))
    fast = choice == "bf16"
    return cpu.ComputeMode(bf16=fast, channels_last=fast)


settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the recipe, as listed below; again for another one. Lists as a,b; none for "
    "nothing.",
)


def read_settings(
    recipe: "type[training.ConfiguredRecipe]", pairs: Iterable[str]
) -> dict[str, Any]:
    """Read what stands behind --set; the recipe itself then checks the values.

    Raises:
        ConfigError: it is not KEY=VALUE, or a key stands twice.
        UnknownNameError: the recipe has no such setting.
    """
    fields = _fields(recipe)
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in found:
            raise ConfigError(f"--set {pair}: expected KEY=VALUE, each key once")
        if key not in fields:
            raise UnknownNameError(f"setting of recipe {recipe.name}", key, fields)
        found[key] = None if value == "none" else value
        if value != "none" and _holds_list(fields[key].annotation):
            found[key] = value.split(",")
    return found


def _fields(recipe: "type[training.ConfiguredRecipe]") -> dict[str, FieldInfo]:
    """The settings; --layers has an option of its own."""
    return {name: one for name, one in recipe.Options.model_fields.items() if name != "layers"}


def _holds_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_holds_list, get_args(annotation)))


def recipes_help(*, patches: bool = False) -> str:
    """List the recipes that have settings, with these and their defaults.

    Args:
        patches: only those that make a patch.
    """
    lines = [
        "\b",
        "Recipes with settings (--set KEY=VALUE), and how each trains unless told otherwise:",
    ]
    for name, recipe in (
        training.WEIGHT_RECIPES if patches else training.CONFIGURED_RECIPES
    ).items():
        suits = recipe.defaults
        epochs = "1 epoch" if suits.epochs == 1 else f"{suits.epochs} epochs"
        rate = f"learning rate {suits.learning_rate:g}"
        lines.append(f"  {name}: {epochs}, {suits.optimizer}, {rate}")
        for key, field in _fields(recipe).items():
            # Of what may be left out as well, the type is described instead of the field.
            parts = [part for choice in get_args(field.annotation) for part in get_args(choice)]
            infos = [field, *(part for part in parts if isinstance(part, FieldInfo))]
            described = next((one.description for one in infos if one.description), "")
            lines.append(f"    {key}={_shown(field.default)}  {described}".rstrip())
    return "\n".join(lines)


def _shown(default: Any) -> str:
    if default is None or isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def shallowest_count(text: str) -> int:
    """Read --layers of the recipe `robust`: how many of the shallowest layers.

    Raises:
        UsageError: it is no whole number of 1 or more.
    """
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise click.UsageError(
            f"--layers {text}: with --recipe robust a number of shallowest layers, 1 or more"
        )
    return int(text)


def refuse(recipe: str, *names: str) -> None:
    """Refuse options that do not go with a recipe.

    Raises:
        UsageError: one is given.
    """
    found = opt.given(*names)
    if found:
        raise click.UsageError(f"{', '.join(found)}: not with --recipe {recipe}")


def training_of(defaults: training.TrainingConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """A training's parameters: those on the command line, and the recipe's own for the rest."""
    named = [
        name for name in training.TrainingConfig.model_fields if name in options and opt.given(name)
    ]
    return {**defaults.model_dump(), **{name: options[name] for name in named}}


_OF_A_NEW_NETWORK = ("network", "width", "batch_norm")


def check_together(options: dict[str, Any]) -> None:
    """Refuse options that do not go with the recipe, before any image is read.

    Raises:
        ConfigError, UsageError: such an option, or one that the recipe needs is missing.
    """
    recipe = options["recipe"]
    if (recipe == "robust") != (options["corruption"] is not None):
        raise ConfigError("--recipe robust and --corruption go together")
    if recipe in training.WEIGHT_RECIPES:
        if options["init"] is None and options["batch_norm"]:
            raise ConfigError(
                f"--recipe {recipe} goes on training a model, and leaves BatchNorm's statistics as "
                "they are: name one with --init, or begin with --no-batch-norm"
            )
        refuse(recipe, "anchor_epoch", "severity")
        if options["init"] is not None:
            refuse(f"{recipe} --init", *_OF_A_NEW_NETWORK)
    elif options["layers"] is not None and recipe not in ("robust", *training.CONFIGURED_RECIPES):
        raise ConfigError("--layers goes with --recipe robust and those that have settings")
    elif recipe not in training.CONFIGURED_RECIPES:
        refuse(recipe, "settings")


def training_config(options: dict[str, Any]) -> training.TrainingConfig:
    """The training's parameters; those of a recipe with settings are its own where none are given.

    Raises:
        ConfigError: one is out of its range.
    """
    if options["recipe"] in training.CONFIGURED_RECIPES:
        fields = training_of(training.CONFIGURED_RECIPES[options["recipe"]].defaults, options)
    else:
        fields = {
            name: options[name] for name in training.TrainingConfig.model_fields if name in options
        }
    return validated(training.TrainingConfig, fields, what="training")


def recipe_of(options: dict[str, Any], start: "models.Classifier") -> "training.Recipe":
    """Make the recipe that was named.

    Raises:
        ConfigError: a setting out of its range.
        UnknownNameError: no such setting or layer.
    """
    name = options["recipe"]
    if name in training.CONFIGURED_RECIPES:
        recipe = training.CONFIGURED_RECIPES[name]
        settings: dict[str, Any] = read_settings(recipe, options["settings"])
        if options["layers"] is not None:
            settings["layers"] = models.parse_layers(start, options["layers"])
        return recipe.configured(settings)
    if name == "robust":
        layers = options["layers"]
        count = None if layers is None else shallowest_count(layers)
        return training.RobustRecipe(options["corruption"], options["severity"], layers=count)
    if name == "augmented":
        return training.AugmentedRecipe(severity=options["severity"])
    return training.RECIPES[name]()
