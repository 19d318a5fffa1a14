"""Training recipes: rows of a registry that plug into the one training loop."""

__all__ = [
    "RECIPES",
    "WEIGHT_RECIPES",
    "AugmentedRecipe",
    "CleanRecipe",
    "CorruptionResistantOptions",
    "CorruptionResistantRecipe",
    "HessianAwareOptions",
    "HessianAwareRecipe",
    "Recipe",
    "RecipeOptions",
    "RobustRecipe",
    "SelectiveOptions",
    "SelectiveRecipe",
    "SharpnessAwareRecipe",
    "WeightRecipe",
]

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.training.recipes.augmented import AugmentedRecipe
from rwsstore.training.recipes.base import Recipe
from rwsstore.training.recipes.clean import CleanRecipe
from rwsstore.training.recipes.corruption_resistant import (
    CorruptionResistantOptions,
    CorruptionResistantRecipe,
)
from rwsstore.training.recipes.hessian_aware import HessianAwareOptions, HessianAwareRecipe
from rwsstore.training.recipes.robust import RobustRecipe
from rwsstore.training.recipes.selective import SelectiveOptions, SelectiveRecipe
from rwsstore.training.recipes.sharpness_aware import SharpnessAwareRecipe
from rwsstore.training.recipes.weight import RecipeOptions, WeightRecipe

WEIGHT_RECIPES: Mapping[str, type[WeightRecipe]] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (CorruptionResistantRecipe, HessianAwareRecipe, SelectiveRecipe)
    }
)
"""Recipes whose difference to the clean model becomes a patch, by name."""

RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(
    {
        **{
            recipe.name: recipe
            for recipe in (CleanRecipe, RobustRecipe, AugmentedRecipe, SharpnessAwareRecipe)
        },
        **WEIGHT_RECIPES,
    }
)
"""Recipe classes by name."""
