"""Training recipes: rows of a registry that plug into the one training loop."""

__all__ = [
    "CONFIGURED_RECIPES",
    "RECIPES",
    "WEIGHT_RECIPES",
    "AdversarialRecipe",
    "AdversarialTrainingOptions",
    "AugmentedRecipe",
    "ClatOptions",
    "ClatRecipe",
    "CleanRecipe",
    "ConfiguredRecipe",
    "CorruptionResistantOptions",
    "CorruptionResistantRecipe",
    "FastAtOptions",
    "FastAtRecipe",
    "HessianAwareOptions",
    "HessianAwareRecipe",
    "PgdAtRecipe",
    "Recipe",
    "RecipeOptions",
    "RobustRecipe",
    "SelectiveOptions",
    "SelectiveRecipe",
    "SharpnessAwareOptions",
    "SharpnessAwareRecipe",
    "TradesOptions",
    "TradesRecipe",
    "WeightRecipe",
]

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.training.recipes.adversarial import (
    AdversarialRecipe,
    AdversarialTrainingOptions,
    FastAtOptions,
    FastAtRecipe,
    PgdAtRecipe,
    TradesOptions,
    TradesRecipe,
)
from rwsstore.training.recipes.base import Recipe
from rwsstore.training.recipes.clat import ClatOptions, ClatRecipe
from rwsstore.training.recipes.corruption_resistant import (
    CorruptionResistantOptions,
    CorruptionResistantRecipe,
)
from rwsstore.training.recipes.hessian_aware import HessianAwareOptions, HessianAwareRecipe
from rwsstore.training.recipes.plain import AugmentedRecipe, CleanRecipe, RobustRecipe
from rwsstore.training.recipes.selective import SelectiveOptions, SelectiveRecipe
from rwsstore.training.recipes.sharpness_aware import SharpnessAwareOptions, SharpnessAwareRecipe
from rwsstore.training.recipes.weight import ConfiguredRecipe, RecipeOptions, WeightRecipe

WEIGHT_RECIPES: Mapping[str, type[WeightRecipe]] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (CorruptionResistantRecipe, HessianAwareRecipe, SelectiveRecipe, ClatRecipe)
    }
)
"""Recipes whose difference to the clean model becomes a patch, by name."""

CONFIGURED_RECIPES: Mapping[str, type[ConfiguredRecipe]] = MappingProxyType(
    {
        **WEIGHT_RECIPES,
        **{
            recipe.name: recipe
            for recipe in (PgdAtRecipe, FastAtRecipe, TradesRecipe, SharpnessAwareRecipe)
        },
    }
)
"""Recipes with settings by name."""

RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(
    {
        **{recipe.name: recipe for recipe in (CleanRecipe, RobustRecipe, AugmentedRecipe)},
        **CONFIGURED_RECIPES,
    }
)
"""Recipe classes by name."""
