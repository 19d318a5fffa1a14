"""Recipes with settings, and those that go on training a clean model to make a patch."""

__all__ = ["ConfiguredRecipe", "RecipeOptions", "WeightRecipe", "layer_parameters"]

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.files import validated
from rwsstore.models import ordered_layers
from rwsstore.patches import Kind
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes.base import Recipe


class RecipeOptions(BaseModel):
    """What all of these recipes take.

    Attributes:
        layers: names of the layers that train, as `ordered_layers` has them; None: all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layers: Annotated[
        tuple[str, ...] | None, Field(min_length=1, description="layers that train")
    ] = None


class ConfiguredRecipe(Recipe):
    """A recipe with settings of its own, on clean images.

    Args:
        options: of the recipe's own class `Options`.

    Attributes:
        defaults: the training that suits it.
        settings: the options.
    """

    Options: ClassVar[type[RecipeOptions]] = RecipeOptions
    defaults: ClassVar[TrainingConfig] = TrainingConfig()

    def __init__(self, options: RecipeOptions | None = None) -> None:
        chosen = self.Options() if options is None else options
        if type(chosen) is not self.Options:
            raise ConfigError(
                f"recipe {self.name!r} takes {self.Options.__name__}, not {type(chosen).__name__}"
            )
        self.settings = chosen

    @classmethod
    def configured(cls, settings: Mapping[str, Any]) -> Self:
        """Make the recipe from settings by name.

        Raises:
            ConfigError: an unknown setting, or a value out of its range.
        """
        return cls(validated(cls.Options, dict(settings), what=f"recipe {cls.name}"))

    def options(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return self.settings.model_dump(mode="json")

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """The parameters of the chosen layers, or all.

        Raises:
            ConfigError: a layer that the model does not have.
        """
        if self.settings.layers is None:
            return super().trainable(model)
        return layer_parameters(model, self.settings.layers)

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """The images as they are."""
        return images


class WeightRecipe(ConfiguredRecipe):
    """Training of the clean model against failing weights, or adversaries, on clean images.

    Attributes:
        kind: of the patch that its delta becomes.
    """

    kind: ClassVar[Kind]
    defaults: ClassVar[TrainingConfig] = TrainingConfig(epochs=4, learning_rate=0.01, clip_norm=1.0)
    freeze_batchnorm = True


def layer_parameters(model: nn.Module, names: tuple[str, ...]) -> frozenset[str]:
    """Names of the parameters of some layers.

    Raises:
        ConfigError: a layer that the model does not have, or one twice.
    """
    layers = {layer.name: layer.parameters for layer in ordered_layers(model)}
    unknown = [name for name in names if name not in layers]
    if unknown or len(set(names)) != len(names):
        raise ConfigError(
            f"layers are {', '.join(names)}; expected some of {', '.join(layers)}, each once"
        )
    return frozenset(parameter for name in names for parameter in layers[name])
