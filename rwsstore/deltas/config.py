"""One patch against failing weights or adversaries as somebody writes it down: names and values."""

__all__ = ["DeltaConfig"]

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from torch import nn

from rwsstore.deltas.hazards import hazard_for
from rwsstore.deltas.options import DeltaOptions
from rwsstore.errors import RwsError, UnknownNameError
from rwsstore.models import parse_layers
from rwsstore.training import WEIGHT_RECIPES, WeightRecipe


class DeltaConfig(DeltaOptions):
    """Which recipe, with which settings, on which layers, and how its patch is made.

    Attributes:
        recipe: name of a recipe in `WEIGHT_RECIPES`.
        name: of the patch; None: the recipe's.
        settings: of the recipe, by name; what is left out is at its default.
        layers: that train, as `parse_layers` reads them: `1-8`, or names; None: all.
        training: what a table leaves out is as the recipe's defaults have it.
    """

    recipe: str
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    layers: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("recipe") not in WEIGHT_RECIPES:
            return values
        training = values.get("training")
        if not isinstance(training, Mapping):
            return values
        defaults = WEIGHT_RECIPES[values["recipe"]].defaults.model_dump()
        return {**values, "training": {**defaults, **training}}

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        try:
            if self.recipe not in WEIGHT_RECIPES:
                raise UnknownNameError("recipe", self.recipe, WEIGHT_RECIPES)
            if "layers" in self.settings:
                raise ValueError("layers stand beside the settings, not among them")
            hazard_for(self._configured({}), self)
        except RwsError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def patch_name(self) -> str:
        """The name under which the patch is published."""
        return self.name or self.recipe

    @property
    def options(self) -> DeltaOptions:
        """What is not the recipe's own."""
        return DeltaOptions(**{name: getattr(self, name) for name in DeltaOptions.model_fields})

    def recipe_for(self, model: nn.Module) -> WeightRecipe:
        """Make the recipe, its layers those of a model.

        Raises:
            ConfigError: no such layers.
            UnknownNameError: no layer of that name.
        """
        if self.layers is None:
            return self._configured({})
        return self._configured({"layers": parse_layers(model, self.layers)})

    def _configured(self, chosen: Mapping[str, Any]) -> WeightRecipe:
        return WEIGHT_RECIPES[self.recipe].configured({**self.settings, **chosen})
