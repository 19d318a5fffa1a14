"""Training recipes: rows of a registry that plug into the one training loop."""

__all__ = ["RECIPES", "AugmentedRecipe", "CleanRecipe", "Recipe", "RobustRecipe"]

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.training.recipes.augmented import AugmentedRecipe
from rwsstore.training.recipes.base import Recipe
from rwsstore.training.recipes.clean import CleanRecipe
from rwsstore.training.recipes.robust import RobustRecipe

RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (CleanRecipe, RobustRecipe, AugmentedRecipe)}
)
"""Recipe classes by name."""
