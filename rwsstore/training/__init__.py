"""One training loop and the recipes that plug into it."""

__all__ = [
    "CONFIGURED_RECIPES",
    "RECIPES",
    "RECIPE_NAMES",
    "RECIPE_OPTIONS",
    "WEIGHT_OPTIONS",
    "WEIGHT_RECIPES",
    "AdversarialTrainingOptions",
    "AugmentedRecipe",
    "AveragingConfig",
    "ClassifierRun",
    "ClatOptions",
    "ClatRecipe",
    "CleanRecipe",
    "ConfiguredRecipe",
    "CorruptionResistantOptions",
    "CorruptionResistantRecipe",
    "EpochRecord",
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
    "TrainingConfig",
    "TrainingResult",
    "WeightRecipe",
    "average_cycles",
    "derive_seed",
    "fit",
    "forget_states",
    "hold_out",
    "learning_rate",
    "pixel_statistics",
    "train_averaged",
    "train_classifier",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.canonical import derive_seed
    from rwsstore.training.averaging import (
        AveragingConfig,
        average_cycles,
        forget_states,
        train_averaged,
    )
    from rwsstore.training.classifier import ClassifierRun, pixel_statistics, train_classifier
    from rwsstore.training.config import (
        EpochRecord,
        TrainingConfig,
        TrainingResult,
        hold_out,
        learning_rate,
    )
    from rwsstore.training.loop import fit
    from rwsstore.training.recipes.adversarial import (
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
