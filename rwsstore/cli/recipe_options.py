"""Recipes on the command line: their settings, and a help text made of the registry."""

__all__ = [
    "given",
    "read_settings",
    "recipes_help",
    "refuse",
    "settings_option",
    "shallowest_count",
    "training_of",
]

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.training import (
    CONFIGURED_RECIPES,
    WEIGHT_RECIPES,
    ConfiguredRecipe,
    TrainingConfig,
)

settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the recipe, as listed below; again for another one. Lists as a,b; none for "
    "nothing.",
)


def read_settings(recipe: type[ConfiguredRecipe], pairs: Iterable[str]) -> dict[str, Any]:
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
        found[key] = _value(fields[key], value)
    return found


def _fields(recipe: type[ConfiguredRecipe]) -> dict[str, FieldInfo]:
    """The settings; --layers has an option of its own."""
    return {name: one for name, one in recipe.Options.model_fields.items() if name != "layers"}


def _value(field: FieldInfo, text: str) -> str | list[str] | None:
    if text == "none":
        return None
    return text.split(",") if _holds_list(field.annotation) else text


def _holds_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_holds_list, get_args(annotation)))


def recipes_help(*, patches: bool = False) -> str:
    """List the recipes that have settings, with these and their defaults.

    Args:
        patches: only those that make a patch.
    """
    head = "\b\nRecipes with settings (--set KEY=VALUE), and how each trains unless told otherwise:"
    return "\n".join([head, *_lines(WEIGHT_RECIPES if patches else CONFIGURED_RECIPES)])


def _lines(recipes: Mapping[str, type[ConfiguredRecipe]]) -> Iterator[str]:
    for name, recipe in recipes.items():
        training = recipe.defaults
        epochs = "1 epoch" if training.epochs == 1 else f"{training.epochs} epochs"
        yield f"  {name}: {epochs}, {training.optimizer}, learning rate {training.learning_rate:g}"
        for key, field in _fields(recipe).items():
            described = _description(field)
            yield f"    {key}={_shown(field.default)}" + (f"  {described}" if described else "")


def _description(field: FieldInfo) -> str:
    """A field's own description, or that of its type where it may be left out as well."""
    if field.description:
        return field.description
    inner = [
        part.description
        for choice in get_args(field.annotation)
        for part in get_args(choice)
        if isinstance(part, FieldInfo) and part.description
    ]
    return inner[0] if inner else ""


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


def given(*names: str) -> list[str]:
    """Those of some parameters that stand on the command line, as the options that they are."""
    context = click.get_current_context()
    called = {param.name: param.opts[0] for param in context.command.params}
    return [
        called[name]
        for name in names
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]


def refuse(recipe: str, *names: str) -> None:
    """Refuse options that do not go with a recipe.

    Raises:
        UsageError: one is given.
    """
    found = given(*names)
    if found:
        raise click.UsageError(f"{', '.join(found)}: not with --recipe {recipe}")


def training_of(defaults: TrainingConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """A training's parameters: those on the command line, and the recipe's own for the rest."""
    named = [name for name in TrainingConfig.model_fields if name in options and given(name)]
    return {**defaults.model_dump(), **{name: options[name] for name in named}}
