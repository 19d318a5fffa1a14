"""What attacks raise: a loss for each image, and its gradient in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rwsstore.attacks.ball import Ball
from rwsstore.canonical import derive_seed
from rwsstore.errors import ConfigError, TensorError


class Objective(Protocol):
    """A loss of each image of a batch, all of whose images are known to it."""

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Measure some of the batch's images.

        Args:
            images: float32 [B, 3, H, W], changed.
            rows: int64 [B], which of the batch's images each of them is.

        Returns:
            (loss [B], to be raised; logits [B, C]).
        """


@dataclass(frozen=True, eq=False)
class ObjectiveValues:
    """What is known of images where they are now.

    Attributes:
        loss: float32 [B].
        predicted: int64 [B], the class with the largest logit.
        gradient: of the loss by the image; float32 [B, 3, H, W].
    """

    loss: Tensor
    predicted: Tensor
    gradient: Tensor


class CrossEntropy:
    """−log p(label), computed so that it does not saturate.

    It is softplus(log Σ_{i≠y} exp(z_i) − z_y). That is the cross-entropy, but where the network
    is sure of the label, 1 − p(label) is not rounded to 0, so that neither the gradient nor the
    order of the losses is lost.

    Args:
        model: images to logits [B, C], C at least 2.
        labels: int64 [N], of the whole batch.
    """

    def __init__(self, model: nn.Module, labels: Tensor) -> None:
        self._model, self._labels = model, labels

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Measure some of the batch's images; see `Objective`."""
        logits = self._model(images).float()
        labels = self._labels[rows, None]
        others = logits.scatter(1, labels, float("-inf")).logsumexp(1)
        return F.softplus(others - logits.gather(1, labels)[:, 0]), logits


def differentiate(
    objective: Objective, images: Tensor, rows: Tensor, indices: Tensor, *, plain: bool = True
) -> ObjectiveValues:
    """Measure images, and how the loss changes with them.

    The model's parameters get no gradient.

    Args:
        objective: what is measured.
        images: float32 [B, 3, H, W].
        rows: int64 [B], their places in the batch.
        indices: int64 [N], each of the batch's images' index in its data set, for messages.
        plain: compute in float32 whatever autocast or inference mode the caller is in; False
            keeps the caller's arithmetic, for training.

    Raises:
        TensorError: a loss or gradient is NaN or infinite; the image is named.
        ConfigError: the logits do not depend on the images in a way that torch can differentiate.
    """
    with plain_float32() if plain else torch.enable_grad():
        leaf = images.clone().requires_grad_()
        loss, logits = objective(leaf, rows)
        if not loss.requires_grad:
            raise ConfigError(
                "the model's answer has no gradient with respect to its images; an attack needs "
                "a model that torch can differentiate"
            )
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    finite = loss.detach().isfinite() & gradient.flatten(1).isfinite().all(1)
    _check(finite, "loss or gradient", rows, indices)
    return ObjectiveValues(loss.detach(), logits.detach().argmax(1), gradient)


def measure(
    objective: Objective, images: Tensor, rows: Tensor, indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure images without a gradient; arguments and errors as for `differentiate`.

    Returns:
        (loss float32 [B], predicted class int64 [B]).
    """
    with plain_float32(), torch.no_grad():
        loss, logits = objective(images, rows)
    _check(loss.isfinite(), "loss", rows, indices)
    return loss, logits.argmax(1)


@contextmanager
def plain_float32() -> Iterator[None]:
    """Switch gradients on, and autocast and inference mode off, inside the block."""
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def _check(finite: Tensor, what: str, rows: Tensor, indices: Tensor) -> None:
    if not bool(finite.all()):
        row = int(rows[~finite][0])
        raise TensorError(
            f"the {what} of image {int(indices[row])} is NaN or infinite, so it says nothing about "
            "where the model is weak: look at the model's weights and logits"
        )


def random_changes(
    ball: Ball, shape: torch.Size, *, seed: int, indices: Tensor, restart: int
) -> Tensor:
    """Draw a change from the ball for each image, from (seed, its index, restart) alone.

    Args:
        ball: where from.
        shape: of one image, [3, H, W].
        seed: the caller's.
        indices: int64 [B], each image's index in its data set.
        restart: 0 for the first start.

    Returns:
        float32 [B, 3, H, W] on the CPU.
    """
    generator = torch.Generator()
    one = torch.Size((1, *shape))
    changes = []
    for index in indices.tolist():
        generator.manual_seed(derive_seed(seed, index, restart))
        changes.append(ball.sample(one, generator))
    return torch.cat(changes)


@dataclass(frozen=True, eq=False)
class AttackBatch:
    """Images under attack, checked.

    Attributes:
        model: in evaluation mode; its parameters require no gradient.
        images: float32 [B, 3, H, W] in [0, 1], as they were.
        labels: int64 [B].
        indices: int64 [B] on the CPU, each image's index in its data set.
        seed: of all that is drawn.
        early_exit: whether an image is left alone once the model gets it wrong.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    indices: Tensor
    seed: int
    early_exit: bool

    def take(self, rows: Tensor) -> "AttackBatch":
        """The batch of some of the images, rows int64 [K]."""
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            indices=self.indices[rows.cpu()],
        )

    def start(self, ball: Ball, rows: Tensor, restart: int) -> Tensor:
        """Images at a random place within their budget, float32 [len(rows), 3, H, W]."""
        origins = self.images[rows]
        changes = random_changes(
            ball,
            origins.shape[1:],
            seed=self.seed,
            indices=self.indices[rows.cpu()],
            restart=restart,
        )
        return ball.project(origins + changes.to(origins.device), origins)


class Best:
    """The best point found so far for each image of a batch.

    A point at which the model is wrong beats every other where images leave early; else the
    higher loss is better, and of equals the first.

    Attributes:
        images: float32 [B, 3, H, W].
    """

    def __init__(self, batch: AttackBatch) -> None:
        self.images = batch.images.clone()
        self._batch = batch
        self._loss = torch.full(batch.labels.shape, float("-inf"), device=batch.images.device)
        self._gone = torch.zeros_like(batch.labels, dtype=torch.bool)

    def standing(self) -> Tensor:
        """Rows of the images that have not left, int64."""
        return (~self._gone).nonzero()[:, 0]

    def offer(self, rows: Tensor, images: Tensor, loss: Tensor, predicted: Tensor) -> Tensor:
        """Keep points that are better than what is kept.

        Args:
            rows: int64 [K], which images; none that has left.
            images: float32 [K, 3, H, W], where they are.
            loss: float32 [K].
            predicted: int64 [K], the class that the model gives.

        Returns:
            bool [K]: which of them stay in the batch.
        """
        leaving = (predicted != self._batch.labels[rows]) & self._batch.early_exit
        better = leaving | (loss > self._loss[rows])
        self.images[rows[better]] = images[better]
        self._loss[rows[better]] = loss[better]
        self._gone[rows[leaving]] = True
        return ~leaving


Climb = Callable[[Tensor, int, Best], None]
"""Goes uphill with the images in rows [K] from the start of that number, offering what it meets."""


def search(batch: AttackBatch, climb: Climb, restarts: int) -> Tensor:
    """Climb from several starts, each time only with the images that still stand.

    Args:
        batch: the images.
        climb: one ascent.
        restarts: how many starts, at least 1.

    Returns:
        float32 [B, 3, H, W], the best point of each image.
    """
    best = Best(batch)
    for restart in range(restarts):
        rows = best.standing()
        if not len(rows):
            break
        climb(rows, restart, best)
    return best.images
