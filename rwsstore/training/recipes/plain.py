"""Training on images as they are, under one corruption, or under all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rwsstore import corruptions, models
from rwsstore.training.recipes.base import Recipe, recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from rwsstore.patches import Kind


@recipe
class CleanRecipe(Recipe):
    """Plain training of the clean model θ_std."""

    name = "clean"

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """The images as they are."""
        return images


@recipe
class RobustRecipe(Recipe):
    """Training of θ_c on images with corruption c (Cai et al., ICML 2023, section 2.1).

    Args:
        corruption: its name.
        severity: 1 to 5.
        layers: how many of the shallowest layers train; None trains them all, as the paper does.
    """

    name = "robust"
    kind: ClassVar[Kind] = "rws"
    freeze_batchnorm = True

    def __init__(self, corruption: str, severity: int = 5, *, layers: int | None = 5) -> None:
        self.corruption, self.severity, self.layers = corruption, severity, layers

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """The parameters of the shallowest layers, so that the patch is the whole difference."""
        if self.layers is None:
            return super().trainable(model)
        return frozenset(
            name for layer in models.shallowest(model, self.layers) for name in layer.parameters
        )

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """The images with the corruption; a new draw in every epoch."""
        return corruptions.corrupt(
            images, self.corruption, self.severity, seed=seed, indices=indices
        )


@recipe
class AugmentedRecipe(Recipe):
    """Data augmentation: each image clean, or with one of the corruptions, drawn anew each epoch.

    Args:
        corruptions: to draw from; all by default.
        severity: 1 to 5.
    """

    name = "augmented"

    def __init__(self, corruptions: Sequence[str] | None = None, severity: int = 5) -> None:
        from rwsstore.corruptions import CORRUPTIONS

        self.corruptions = tuple(CORRUPTIONS if corruptions is None else corruptions)
        self.severity = severity

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """The images, each with what was drawn for it."""
        mixture = corruptions.Random(
            self.corruptions,
            severities=(self.severity,),
            clean=1 / (len(self.corruptions) + 1),
            seed=seed,
        )
        return mixture.on_batch(images, indices.tolist())
