"""One training loop and the recipes that plug into it."""

__all__ = [
    "RECIPES",
    "WEIGHT_RECIPES",
    "AugmentedRecipe",
    "AveragingConfig",
    "ClassifierRun",
    "CleanRecipe",
    "CorruptionResistantOptions",
    "CorruptionResistantRecipe",
    "EpochRecord",
    "HessianAwareOptions",
    "HessianAwareRecipe",
    "Recipe",
    "RecipeOptions",
    "RobustRecipe",
    "SelectiveOptions",
    "SelectiveRecipe",
    "SharpnessAwareRecipe",
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

from rwsstore.training.averaging import (
    AveragingConfig,
    average_cycles,
    forget_states,
    train_averaged,
)
from rwsstore.training.classifier import ClassifierRun, pixel_statistics, train_classifier
from rwsstore.training.config import TrainingConfig
from rwsstore.training.holdout import hold_out
from rwsstore.training.loop import fit
from rwsstore.training.recipes import (
    RECIPES,
    WEIGHT_RECIPES,
    AugmentedRecipe,
    CleanRecipe,
    CorruptionResistantOptions,
    CorruptionResistantRecipe,
    HessianAwareOptions,
    HessianAwareRecipe,
    Recipe,
    RecipeOptions,
    RobustRecipe,
    SelectiveOptions,
    SelectiveRecipe,
    SharpnessAwareRecipe,
    WeightRecipe,
)
from rwsstore.training.result import EpochRecord, TrainingResult
from rwsstore.training.schedule import learning_rate
from rwsstore.training.seeds import derive_seed
