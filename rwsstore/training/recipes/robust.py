"""Training of a robust counterpart: one corruption, made on the fly."""

__all__ = ["RobustRecipe"]

from torch import Tensor, nn

from rwsstore.corruptions import corrupt
from rwsstore.models import shallowest
from rwsstore.training.recipes.base import Recipe


class RobustRecipe(Recipe):
    """Training of θ_c on images with corruption c (Cai et al., ICML 2023, section 2.1).

    Args:
        corruption: its name.
        severity: 1 to 5.
        layers: how many of the shallowest layers train; None trains them all, as the paper does.
    """

    name = "robust"
    freeze_batchnorm = True

    def __init__(self, corruption: str, severity: int = 5, *, layers: int | None = 5) -> None:
        self.corruption, self.severity, self.layers = corruption, severity, layers

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """The parameters of the shallowest layers, so that the patch is the whole difference."""
        if self.layers is None:
            return super().trainable(model)
        return frozenset(
            name for layer in shallowest(model, self.layers) for name in layer.parameters
        )

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """The images with the corruption; a new draw in every epoch."""
        return corrupt(images, self.corruption, self.severity, seed=seed, indices=indices)
