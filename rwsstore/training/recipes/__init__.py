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

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
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
    from rwsstore.training.recipes.registry import CONFIGURED_RECIPES, RECIPES, WEIGHT_RECIPES
    from rwsstore.training.recipes.selective import SelectiveOptions, SelectiveRecipe
    from rwsstore.training.recipes.sharpness_aware import (
        SharpnessAwareOptions,
        SharpnessAwareRecipe,
    )
    from rwsstore.training.recipes.weight import ConfiguredRecipe, RecipeOptions, WeightRecipe
else:
    faces.lazy(__name__)
