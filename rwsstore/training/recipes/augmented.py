"""The baseline: one model trained on all corruptions at once."""

__all__ = ["AugmentedRecipe"]

from collections.abc import Sequence

import torch
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, corrupt
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
        generator = torch.Generator().manual_seed(seed)
        choices = len(self.corruptions) + 1  # the last one: clean
        # Drawn by image index, so that an image's corruption does not depend on its batch.
        draw = torch.randint(choices, (int(indices.max()) + 1,), generator=generator)[indices]
        shown = images.clone()
        for number, name in enumerate(self.corruptions):
            chosen = torch.nonzero(draw == number).flatten()
            if len(chosen):
                shown[chosen] = corrupt(
                    images[chosen], name, self.severity, seed=seed, indices=indices[chosen]
                )
        return shown
