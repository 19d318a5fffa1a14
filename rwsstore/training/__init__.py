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
    from rwsstore.training.recipes import (
        CONFIGURED_RECIPES,
        RECIPE_NAMES,
        RECIPE_OPTIONS,
        RECIPES,
        WEIGHT_OPTIONS,
        WEIGHT_RECIPES,
        AdversarialTrainingOptions,
        AugmentedRecipe,
        ClatOptions,
        ClatRecipe,
        CleanRecipe,
        ConfiguredRecipe,
        CorruptionResistantOptions,
        CorruptionResistantRecipe,
        FastAtOptions,
        FastAtRecipe,
        HessianAwareOptions,
        HessianAwareRecipe,
        PgdAtRecipe,
        Recipe,
        RecipeOptions,
        RobustRecipe,
        SelectiveOptions,
        SelectiveRecipe,
        SharpnessAwareOptions,
        SharpnessAwareRecipe,
        TradesOptions,
        TradesRecipe,
        WeightRecipe,
    )
else:
    faces.lazy(__name__)
