"""What every attack does before and after: checks, batches, and leaving the model as it was."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from rwsstore.attacks.ball import Ball, Norm
from rwsstore.attacks.search import AttackBatch, CrossEntropy, measure, plain_float32
from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError, DataError, TensorError
from rwsstore.models import check_evaluating, unchanged
from rwsstore.progress import SILENT, Reporter


@dataclass(frozen=True)
class Attack(ABC):
    """A search for small changes of images that a model gets wrong.

    Attributes:
        epsilon: the budget, in units of [0, 1] images: `linf`, the largest change of any value,
            at most 1; `l2`, the Euclidean norm of the change over the whole image.
        norm: `linf` or `l2`.

    Raises:
        ConfigError: a value out of its range.
    """

    name: ClassVar[str]

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        self.ball  # noqa: B018  # refuses what is out of range

    @property
    def ball(self) -> Ball:
        """The budget around each image."""
        return Ball(self.epsilon, self.norm)

    def with_epsilon(self, epsilon: float) -> Self:
        """The same attack with another budget; a step size that was given stays as it is."""
        return replace(self, epsilon=epsilon)

    def perturb(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None,
        *,
        seed: int = 0,
        indices: Tensor | None = None,
        batch_size: int = 250,
        early_exit: bool = True,
        progress: Reporter = SILENT,
    ) -> Tensor:
        """Change images, within the budget and within [0, 1], so that the model errs.

        Runs in float32 whatever autocast or inference mode the caller is in. The model is left as
        it was, to the bit; so are torch's random numbers.

        Args:
            model: any module in evaluation mode that takes images in [0, 1] to logits [B, C].
            images: uint8, or floats in [0, 1]; [N, 3, H, W], on the model's device.
            labels: int64 [N], the right classes.
            seed: of random starts. What is drawn for an image follows from the seed, the image's
                index and the number of the restart alone, whatever the batch.
            indices: int64 [N], each image's index in its data set; 0 … N - 1 by default.
            batch_size: images at a time. Changes results by no more than float rounding does.
            early_exit: leave an image alone once the model gets it wrong, so that one that it got
                wrong from the start comes back as it is. Without it, each image comes back where
                its loss was highest: what to try on another model.
            progress: counts images.

        Returns:
            float32 [N, 3, H, W] in [0, 1], on the images' device.

        Raises:
            ConfigError: the model is in training mode or cannot be run or differentiated, has
                fewer than two classes, or an argument is out of its range.
            TensorError: images of another dtype or shape or outside [0, 1]; a loss or gradient
                that is NaN or infinite.
            DataError: no labels, or labels that do not fit.
        """
        if type(seed) is not int:
            raise ConfigError(f"seed is {seed!r}; expected an integer")
        with plain_float32():
            units = unit_images(images)
            self.ball.check_image(units[0].numel())
            classes = self._check_model(model, units)
            known = check_labels(labels, len(units), classes).to(units.device)
            places = torch.arange(len(units)) if indices is None else indices
            if places.dtype != torch.int64 or places.shape != known.shape:
                raise DataError(
                    f"the indices are {places.dtype} {list(places.shape)}; expected int64 "
                    f"[{len(units)}], one for each image"
                )
            # Copies, for tensors made in inference mode cannot be differentiated through.
            copies = units.clone(), known.clone()
            whole = AttackBatch(model, *copies, places.cpu(), seed, early_exit)
            check_count("batch_size", batch_size)
            result = torch.empty_like(whole.images)
            with unchanged(model), progress.task(self.name, total=len(result)) as task:
                for start in range(0, len(result), batch_size):
                    rows = torch.arange(start, min(start + batch_size, len(result)))
                    result[rows] = self._batch(whole.take(rows))
                    task.advance(len(rows))
            return result

    @abstractmethod
    def _attack(self, batch: AttackBatch) -> Tensor:
        """Change a batch; float32 [B, 3, H, W], checked by the caller."""

    def _check_model(self, model: nn.Module, images: Tensor) -> int:
        """Refuse a model that this attack cannot be run on; returns the number of classes."""
        classes = check_evaluating(model, images)
        if classes < 2:
            raise ConfigError(f"the model has {classes} class; an attack needs two or more")
        return classes

    def _batch(self, batch: AttackBatch) -> Tensor:
        """Attack those images of a batch that are to be changed."""
        rows = torch.arange(len(batch.images), device=batch.images.device)
        if batch.early_exit:
            objective = CrossEntropy(batch.model, batch.labels)
            _, predicted = measure(objective, batch.images, rows, batch.indices)
            rows = rows[predicted == batch.labels]
        result = batch.images.clone()
        if len(rows):
            standing = batch.take(rows)
            changed, origins = self._attack(standing), standing.images
            if changed.shape != origins.shape or not bool(self.ball.holds(changed, origins).all()):
                raise TensorError(f"{self.name} left its budget of {self.epsilon:g} ({self.norm})")
            result[rows] = changed
        return result


def check_count(name: str, value: int) -> None:
    """Refuse a number of something that is not a whole number of 1 or more.

    Raises:
        ConfigError: it is something else.
    """
    if type(value) is not int or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected a whole number, 1 or more")
