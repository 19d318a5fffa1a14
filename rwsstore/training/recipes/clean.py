"""Training on images as they are."""

__all__ = ["CleanRecipe"]

from torch import Tensor

from rwsstore.training.recipes.base import Recipe


class CleanRecipe(Recipe):
    """Plain training of the clean model θ_std."""

    name = "clean"

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """The images as they are."""
        return images
