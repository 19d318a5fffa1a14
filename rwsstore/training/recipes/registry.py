"""The recipes by name."""

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.training.recipes.adversarial import FastAtRecipe, PgdAtRecipe, TradesRecipe
from rwsstore.training.recipes.base import Recipe
from rwsstore.training.recipes.clat import ClatRecipe
from rwsstore.training.recipes.corruption_resistant import CorruptionResistantRecipe
from rwsstore.training.recipes.hessian_aware import HessianAwareRecipe
from rwsstore.training.recipes.plain import AugmentedRecipe, CleanRecipe, RobustRecipe
from rwsstore.training.recipes.selective import SelectiveRecipe
from rwsstore.training.recipes.sharpness_aware import SharpnessAwareRecipe
from rwsstore.training.recipes.weight import ConfiguredRecipe, WeightRecipe

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
