"""The baseline: one model trained on all corruptions at once."""

__all__ = ["AugmentedRecipe"]

from collections.abc import Sequence

from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, Random
from rwsstore.training.recipes.base import Recipe


class AugmentedRecipe(Recipe):
    """Data augmentation: each image clean, or with one of the corruptions, drawn anew each epoch.

    Args:
        corruptions: to draw from; all by default.
        severity: 1 to 5.
    """

    name = "augmented"

    def __init__(self, corruptions: Sequence[str] | None = None, severity: int = 5) -> None:
        self.corruptions = tuple(CORRUPTIONS if corruptions is None else corruptions)
        self.severity = severity

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """The images, each with what was drawn for it."""
        mixture = Random(
            self.corruptions,
            severities=(self.severity,),
            clean=1 / (len(self.corruptions) + 1),
            seed=seed,
        )
        return mixture.on_batch(images, indices.tolist())
