"""What a training recipe is: a plug for the one training loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.data import ImageSet
from rwsstore.measure.accuracy import accuracy


class Recipe(ABC):
    """What distinguishes one kind of training from another.

    The loop asks a recipe which parameters train, what the network is shown, and how a step goes
    down; it does all the rest.

    Attributes:
        name: in the registry.
        freeze_batchnorm: keep running statistics as they are (BatchNorm in evaluation mode).
    """

    name: str
    freeze_batchnorm = False

    def options(self) -> dict[str, Any]:
        """What defines the recipe, by name: its public attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that train in this run; all by default."""
        return frozenset(name for name, _ in model.named_parameters())

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:  # noqa: B027  (most have nothing to do)
        """Get ready for an epoch: measure what its steps depend on.

        Args:
            model: as the last epoch left it, in evaluation mode; to be left as it is.
            train: the images to train on.
            epoch: counted from 1.
            seed: of whatever is drawn.
        """

    def begin_step(self, model: nn.Module, step: int, seed: int) -> bool:  # noqa: ARG002
        """Get ready for a step, where something is due between epochs.

        Args:
            model: as it trains, in training mode; to be left as it is.
            step: of the whole run, counted from 0.
            seed: of whatever is drawn; this step's own.

        Returns:
            Whether `active` has changed.
        """
        return False

    def active(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that train in this epoch; by default all that are trainable."""
        return self.trainable(model)

    def state(self) -> dict[str, Any]:
        """What later epochs depend on besides the weights, as JSON values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027  (most have no state)
        """Take up what `state` gave, in a run that goes on."""

    def terms(self) -> dict[str, float]:
        """What the loss is made of, by name: means over the epoch; nothing by default."""
        return {}

    def remarks(self) -> tuple[str, ...]:
        """What one wants to know of the run so far besides loss and accuracy; a line each."""
        return ()

    def score(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:  # noqa: ARG002
        """What the best epoch is chosen by, in percent; accuracy by default.

        Args:
            model: in evaluation mode.
            images: the validation images as `show` made them.
            labels: int64 [N].
            seed: of whatever is drawn, the same in every epoch.
        """
        return accuracy(model, images, labels)

    def scored_on(self, images: int) -> str:
        """Say what `score` is measured on, of so many validation images; for people."""
        return f"{images:,} validation images"

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

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """Leave a step's gradient on the parameters, and say what the loss was.

        Recipes that go down along anything but the gradient of `loss` write their own. The model
        comes without gradients.
        """
        loss = self.loss(model, images, labels, smoothing)
        with torch.autocast(loss.device.type, enabled=False):  # it is for forward passes alone
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
