"""Projected gradient ascent, whatever is raised."""

__all__ = ["ProjectedAscent", "ascend", "default_step_size"]

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.attacks.ball import Ball
from rwsstore.attacks.base import Attack, check_count
from rwsstore.attacks.objectives import Objective, differentiate, measure
from rwsstore.attacks.search import Batch, Best, search
from rwsstore.errors import ConfigError


@dataclass(frozen=True)
class ProjectedAscent(Attack):
    """x ← project(x + η·direction(∇objective)), several times, from several starts.

    The direction is sign(∇) for `linf` and ∇/‖∇‖₂ for `l2`. Of all points met, the start among
    them, the best is kept: one that the model gets wrong, else the one with the highest objective.

    Attributes:
        steps: gradients a start.
        step_size: η, in the units of ε; None for 2.5·ε/steps.
        restarts: starts; all but the first are for images that still stand.
    """

    steps: int = 10
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)
        if self.step_size is not None and not (0 < self.step_size < math.inf):
            raise ConfigError(
                f"step_size is {self.step_size!r}; expected a finite number above 0, in the units "
                "of epsilon, or None"
            )

    @abstractmethod
    def _objective(self, batch: Batch) -> Objective:
        """What is raised."""

    def _start(self, batch: Batch, rows: Tensor, restart: int) -> Tensor:
        return batch.start(self.ball, rows, restart)

    def _attack(self, batch: Batch) -> Tensor:
        objective = self._objective(batch)

        def climb(rows: Tensor, restart: int, best: Best) -> None:
            images = self._start(batch, rows, restart)
            for _ in range(self.steps):
                found = differentiate(objective, images, rows, batch.indices)
                stay = best.offer(rows, images, found.loss, found.predicted)
                rows, images, gradient = rows[stay], images[stay], found.gradient[stay]
                if not len(rows):
                    return
                images = self.ball.step(images, gradient, self._step_size, batch.images[rows])
            best.offer(rows, images, *measure(objective, images, rows, batch.indices))

        return search(batch, climb, self.restarts)

    @property
    def _step_size(self) -> float:
        return self.step_size or default_step_size(self.epsilon, self.steps)


def ascend(
    objective: Objective,
    images: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Climb with every image, all the way, without any check: the core, for training on a batch.

    In the arithmetic of the caller: under autocast the ascent is, like the training, in bfloat16.

    Args:
        objective: what is raised; it knows the batch.
        images: float32 [B, 3, H, W] in [0, 1].
        ball: the budget around each.
        step_size: η, in the units of ε.
        steps: gradients.
        generator: of the random start within the budget; None starts at the images.

    Returns:
        float32 [B, 3, H, W], where the ascent ended.
    """
    rows = torch.arange(len(images), device=images.device)
    current = images
    if generator is not None:
        start = ball.sample(images.shape, generator).to(images.device)
        current = ball.project(images + start, images)
    for _ in range(steps):
        gradient = differentiate(objective, current, rows, rows, plain=False).gradient
        current = ball.step(current, gradient, step_size, images)
    return current


def default_step_size(epsilon: float, steps: int) -> float:
    """2.5·ε/steps: far enough to cross the budget and turn back (Madry et al. 2018)."""
    return 2.5 * epsilon / steps
