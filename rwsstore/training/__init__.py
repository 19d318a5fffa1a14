"""One training loop and the recipes that plug into it."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.canonical import derive_seed as derive_seed
    from rwsstore.training.classifier import (
        AveragingConfig as AveragingConfig,
        ClassifierRun as ClassifierRun,
        average_cycles as average_cycles,
        pixel_statistics as pixel_statistics,
        train_classifier as train_classifier,
    )
    from rwsstore.training.config import (
        EpochRecord as EpochRecord,
        TrainingConfig as TrainingConfig,
        hold_out as hold_out,
        learning_rate as learning_rate,
    )
    from rwsstore.training.loop import fit as fit, images_digest as images_digest
    from rwsstore.training.recipes.adversarial import (
        AdversarialTrainingOptions as AdversarialTrainingOptions,
        FastAtOptions as FastAtOptions,
        FastAtRecipe as FastAtRecipe,
        PgdAtRecipe as PgdAtRecipe,
        TradesOptions as TradesOptions,
        TradesRecipe as TradesRecipe,
    )
    from rwsstore.training.recipes.base import (
        CONFIGURED_RECIPES as CONFIGURED_RECIPES,
        RECIPES as RECIPES,
        WEIGHT_RECIPES as WEIGHT_RECIPES,
        ConfiguredRecipe as ConfiguredRecipe,
        Recipe as Recipe,
        RecipeOptions as RecipeOptions,
        WeightRecipe as WeightRecipe,
        recipe as recipe,
    )
    from rwsstore.training.recipes.failing import (
        CorruptionResistantOptions as CorruptionResistantOptions,
        CorruptionResistantRecipe as CorruptionResistantRecipe,
        HessianAwareOptions as HessianAwareOptions,
        HessianAwareRecipe as HessianAwareRecipe,
        SharpnessAwareOptions as SharpnessAwareOptions,
        SharpnessAwareRecipe as SharpnessAwareRecipe,
    )
    from rwsstore.training.recipes.layers import (
        ClatOptions as ClatOptions,
        ClatRecipe as ClatRecipe,
        SelectiveOptions as SelectiveOptions,
        SelectiveRecipe as SelectiveRecipe,
    )
    from rwsstore.training.recipes.plain import (
        AugmentedRecipe as AugmentedRecipe,
        CleanRecipe as CleanRecipe,
        RobustRecipe as RobustRecipe,
    )
else:
    faces.lazy(__name__)
