"""Training recipes: rows of a registry that plug into the one training loop."""

__all__ = [
    "CONFIGURED_RECIPES",
    "RECIPES",
    "RECIPE_NAMES",
    "RECIPE_OPTIONS",
    "WEIGHT_OPTIONS",
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

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.training.recipes.adversarial import (
        AdversarialRecipe,
        FastAtRecipe,
        PgdAtRecipe,
        TradesRecipe,
    )
    from rwsstore.training.recipes.base import Recipe
    from rwsstore.training.recipes.clat import ClatRecipe
    from rwsstore.training.recipes.corruption_resistant import CorruptionResistantRecipe
    from rwsstore.training.recipes.hessian_aware import HessianAwareRecipe
    from rwsstore.training.recipes.options import (
        RECIPE_NAMES,
        RECIPE_OPTIONS,
        WEIGHT_OPTIONS,
        AdversarialTrainingOptions,
        ClatOptions,
        CorruptionResistantOptions,
        FastAtOptions,
        HessianAwareOptions,
        RecipeOptions,
        SelectiveOptions,
        SharpnessAwareOptions,
        TradesOptions,
    )
    from rwsstore.training.recipes.plain import AugmentedRecipe, CleanRecipe, RobustRecipe
    from rwsstore.training.recipes.registry import CONFIGURED_RECIPES, RECIPES, WEIGHT_RECIPES
    from rwsstore.training.recipes.selective import SelectiveRecipe
    from rwsstore.training.recipes.sharpness_aware import SharpnessAwareRecipe
    from rwsstore.training.recipes.weight import ConfiguredRecipe, WeightRecipe
else:
    faces.lazy(__name__)
