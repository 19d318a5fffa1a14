"""What iterative attacks share: random starts, restarts, the best point of each image."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rwsstore.attacks.ball import Ball
from rwsstore.canonical import derive_seed


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
