"""One training loop and the recipes that plug into it."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.canonical import derive_seed as derive_seed
    from rwsstore.training.averaging import (
        AveragingConfig as AveragingConfig,
        average_cycles as average_cycles,
        forget_states as forget_states,
        train_averaged as train_averaged,
    )
    from rwsstore.training.classifier import (
        ClassifierRun as ClassifierRun,
        pixel_statistics as pixel_statistics,
        train_classifier as train_classifier,
    )
    from rwsstore.training.config import (
        EpochRecord as EpochRecord,
        TrainingConfig as TrainingConfig,
        TrainingResult as TrainingResult,
        hold_out as hold_out,
        learning_rate as learning_rate,
    )
    from rwsstore.training.loop import fit as fit
    from rwsstore.training.recipes.adversarial import (
        FastAtRecipe as FastAtRecipe,
        PgdAtRecipe as PgdAtRecipe,
        TradesRecipe as TradesRecipe,
    )
    from rwsstore.training.recipes.base import Recipe as Recipe
    from rwsstore.training.recipes.clat import ClatRecipe as ClatRecipe
    from rwsstore.training.recipes.corruption_resistant import (
        CorruptionResistantRecipe as CorruptionResistantRecipe,
    )
    from rwsstore.training.recipes.hessian_aware import HessianAwareRecipe as HessianAwareRecipe
    from rwsstore.training.recipes.options import (
        RECIPE_NAMES as RECIPE_NAMES,
        RECIPE_OPTIONS as RECIPE_OPTIONS,
        WEIGHT_OPTIONS as WEIGHT_OPTIONS,
        AdversarialTrainingOptions as AdversarialTrainingOptions,
        ClatOptions as ClatOptions,
        CorruptionResistantOptions as CorruptionResistantOptions,
        FastAtOptions as FastAtOptions,
        HessianAwareOptions as HessianAwareOptions,
        RecipeOptions as RecipeOptions,
        SelectiveOptions as SelectiveOptions,
        SharpnessAwareOptions as SharpnessAwareOptions,
        TradesOptions as TradesOptions,
    )
    from rwsstore.training.recipes.plain import (
        AugmentedRecipe as AugmentedRecipe,
        CleanRecipe as CleanRecipe,
        RobustRecipe as RobustRecipe,
    )
    from rwsstore.training.recipes.registry import (
        CONFIGURED_RECIPES as CONFIGURED_RECIPES,
        RECIPES as RECIPES,
        WEIGHT_RECIPES as WEIGHT_RECIPES,
    )
    from rwsstore.training.recipes.selective import SelectiveRecipe as SelectiveRecipe
    from rwsstore.training.recipes.sharpness_aware import (
        SharpnessAwareRecipe as SharpnessAwareRecipe,
    )
    from rwsstore.training.recipes.weight import (
        ConfiguredRecipe as ConfiguredRecipe,
        WeightRecipe as WeightRecipe,
    )
else:
    faces.lazy(__name__)
