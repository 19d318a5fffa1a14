"""What a training recipe is: a plug for the one training loop."""

__all__ = ["Recipe"]

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F


class Recipe(ABC):
    """What distinguishes one kind of training from another.

    The loop asks a recipe which parameters train, what the network is shown, and what is
    minimised; it does all the rest.

    Attributes:
        name: in the registry.
        freeze_batchnorm: keep running statistics as they are (BatchNorm in evaluation mode).
    """

    name: str
    freeze_batchnorm = False

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that train; all by default."""
        return frozenset(name for name, _ in model.named_parameters())

    @abstractmethod
    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """Make of clean images what the network is shown, before crop and flip.

        Args:
            images: uint8 [B, 3, H, W].
            indices: int64 [B], of the images in their set.
            seed: of this epoch, or of the validation.

        Returns:
            uint8 [B, 3, H, W].
        """

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """The number to be minimised; cross-entropy by default.

        Args:
            model: the network in training mode.
            images: what `show` made, cropped and flipped.
            labels: int64 [B].
            smoothing: share of the target spread over all classes.
        """
        logits = model(images)
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
