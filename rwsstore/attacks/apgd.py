"""Projected ascent that chooses its own step sizes.

Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
Parameter-free Attacks, ICML 2020, algorithm 1, with the cross-entropy.
"""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import ClassVar, Self

import torch
from torch import Tensor

from rwsstore.attacks import search
from rwsstore.attacks.ball import Ball, per_image
from rwsstore.attacks.base import Attack, check_count
from rwsstore.errors import ConfigError

_MOMENTUM = 0.75  # the paper's α
_FIRST, _SHRINK, _LEAST = 22, 3, 6  # the checkpoints, in percent of all steps


@dataclass(frozen=True)
class Apgd(Attack):
    """APGD-CE: ascent with momentum; each image halves its step where it makes no headway.

    Steps start at 2ε. At each checkpoint an image whose loss rose in fewer than ρ of the steps
    since the last one, or that has neither a new best loss nor a smaller step since then, goes
    back to its best point and on with half the step.

    Attributes:
        steps: gradients a start.
        restarts: starts at random places within the budget; all but the first are for images that
            still stand.
        rho: ρ, above 0 and at most 1.
    """

    name: ClassVar[str] = "apgd"

    steps: int = 100
    restarts: int = 1
    rho: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)
        if not 0 < self.rho <= 1:
            raise ConfigError(f"rho is {self.rho!r}; expected a share above 0 and at most 1")

    def _attack(self, batch: search.AttackBatch) -> Tensor:
        return search.search(batch, partial(self._climb, batch), self.restarts)

    def _climb(
        self, batch: search.AttackBatch, rows: Tensor, restart: int, best: search.Best
    ) -> None:
        objective = search.CrossEntropy(batch.model, batch.labels)
        lengths = checkpoints(self.steps)
        images = batch.start(self.ball, rows, restart)
        found = search.differentiate(objective, images, rows, batch.indices)
        stay = best.offer(rows, images, found.loss, found.predicted)
        run = _Run.begin(rows, images, found, 2 * self.epsilon).take(stay)
        for step in range(1, self.steps + 1):
            if not len(run.rows):
                return
            rows = run.rows
            images = run.proposal(self.ball, batch.images[rows], first=step == 1)
            if step == self.steps:
                best.offer(rows, images, *search.measure(objective, images, rows, batch.indices))
                return
            found = search.differentiate(objective, images, rows, batch.indices)
            stay = best.offer(rows, images, found.loss, found.predicted)
            run = run.moved(images, found).take(stay)
            if step in lengths:
                run = run.reviewed(self.rho * lengths[step])


def checkpoints(steps: int) -> dict[int, int]:
    """Say after which steps progress is reviewed, and how many lie between each and the last.

    At ⌈p_j·steps⌉ with p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06).
    """
    found: dict[int, int] = {}
    percent, gap, last = _FIRST, _FIRST, 0
    while percent <= 100:
        place = -(-percent * steps // 100)
        if place > last:
            found[place] = place - last
        gap = max(gap - _SHRINK, _LEAST)
        percent, last = percent + gap, place
    return found


@dataclass(frozen=True, eq=False)
class _Run:
    """One ascent: a row for each image that is still in it.

    Attributes:
        rows: int64 [K], which of the batch's images.
        images: where they are; `previous`: where they were before that.
        gradient: there; `loss`: there.
        top_images: the best point of this ascent, with `top_gradient` and `top_loss`.
        size: of the step; [K].
        rises: int64 [K], steps since the last checkpoint in which the loss rose.
        halved: bool [K], whether the last checkpoint halved the step.
        top_before: the best loss at the last checkpoint.
    """

    rows: Tensor
    images: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    top_images: Tensor
    top_gradient: Tensor
    top_loss: Tensor
    size: Tensor
    rises: Tensor
    halved: Tensor
    top_before: Tensor

    @classmethod
    def begin(
        cls, rows: Tensor, images: Tensor, found: search.ObjectiveValues, size: float
    ) -> Self:
        return cls(
            rows=rows,
            images=images,
            previous=images,
            gradient=found.gradient,
            loss=found.loss,
            top_images=images,
            top_gradient=found.gradient,
            top_loss=found.loss,
            size=torch.full_like(found.loss, size),
            rises=torch.zeros_like(rows),
            halved=torch.zeros_like(rows, dtype=torch.bool),
            top_before=found.loss,
        )

    def take(self, stay: Tensor) -> Self:
        """Go on with some of the images, bool [K]."""
        if bool(stay.all()):
            return self
        kept = {field.name: getattr(self, field.name)[stay] for field in fields(self)}
        return type(self)(**kept)

    def proposal(self, ball: Ball, origins: Tensor, *, first: bool) -> Tensor:
        """Where to go next: a projected step, and momentum but for the first one."""
        ahead = ball.step(self.images, self.gradient, per_image(self.size), origins)
        if first:
            return ahead
        change = _MOMENTUM * (ahead - self.images)
        change += (1 - _MOMENTUM) * (self.images - self.previous)
        return ball.project(self.images + change, origins)

    def moved(self, images: Tensor, found: search.ObjectiveValues) -> Self:
        """The state after a step."""
        better = found.loss > self.top_loss
        wide = per_image(better)
        return replace(
            self,
            images=images,
            previous=self.images,
            gradient=found.gradient,
            loss=found.loss,
            top_images=torch.where(wide, images, self.top_images),
            top_gradient=torch.where(wide, found.gradient, self.top_gradient),
            top_loss=torch.where(better, found.loss, self.top_loss),
            rises=self.rises + (found.loss > self.loss),
        )

    def reviewed(self, enough: float) -> Self:
        """The state after a checkpoint: steps that are too long are halved, from the best point.

        Args:
            enough: rises of the loss since the last checkpoint, from which on a step is kept.
        """
        stuck = ~self.halved & (self.top_loss == self.top_before)
        halve = (self.rises < enough) | stuck
        wide = per_image(halve)
        return replace(
            self,
            images=torch.where(wide, self.top_images, self.images),
            gradient=torch.where(wide, self.top_gradient, self.gradient),
            loss=torch.where(halve, self.top_loss, self.loss),
            size=torch.where(halve, self.size / 2, self.size),
            rises=torch.zeros_like(self.rises),
            halved=halve,
            top_before=self.top_loss,
        )
