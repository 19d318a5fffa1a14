"""Projected gradient ascent on the cross-entropy.

Madry, Makelov, Schmidt, Tsipras and Vladu, Towards Deep Learning Models Resistant to Adversarial
Attacks, ICLR 2018.
"""

__all__ = ["Pgd", "ascend_loss"]

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rwsstore.attacks.ascent import ProjectedAscent, ascend
from rwsstore.attacks.ball import Ball
from rwsstore.attacks.objectives import CrossEntropy, Objective
from rwsstore.attacks.search import Batch
from rwsstore.errors import ConfigError


@dataclass(frozen=True)
class Pgd(ProjectedAscent):
    """Projected ascent on the cross-entropy with the right class.

    Attributes:
        random_start: start at a random place within the budget, not at the image itself; with
            several restarts it must.
    """

    name: ClassVar[str] = "pgd"

    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            raise ConfigError(
                f"{self.restarts} restarts without a random start would all be the same; expected "
                "random_start=True, or restarts=1"
            )

    def _objective(self, batch: Batch) -> Objective:
        return CrossEntropy(batch.model, batch.labels)

    def _start(self, batch: Batch, rows: Tensor, restart: int) -> Tensor:
        return super()._start(batch, rows, restart) if self.random_start else batch.images[rows]


def ascend_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Make a batch adversarial in the loop of a training: PGD as Madry et al. train with it.

    Nothing is checked, no image leaves early, and the last point counts. Parameters get no
    gradient. A model in training mode sees the images as it does in training: its BatchNorm counts
    them.

    Args:
        model: images to logits [B, C].
        images: float32 [B, 3, H, W] in [0, 1].
        labels: int64 [B].
        ball: the budget.
        step_size: in the units of ε.
        steps: gradients.
        generator: of the random start; None starts at the images.

    Returns:
        float32 [B, 3, H, W] in [0, 1].

    Raises:
        TensorError: a loss or gradient is NaN or infinite.
    """
    objective = CrossEntropy(model, labels)
    return ascend(objective, images, ball, step_size=step_size, steps=steps, generator=generator)
