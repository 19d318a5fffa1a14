"""One step along the gradient.

Goodfellow, Shlens and Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015.
"""

__all__ = ["Fgsm"]

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rwsstore.attacks.base import Attack
from rwsstore.attacks.objectives import CrossEntropy, differentiate
from rwsstore.attacks.search import Batch


@dataclass(frozen=True)
class Fgsm(Attack):
    """x + ε·sign(∇L) for `linf`, x + ε·∇L/‖∇L‖₂ for `l2`, cut to [0, 1].

    L is the cross-entropy with the right class.
    """

    name: ClassVar[str] = "fgsm"

    def _attack(self, batch: Batch) -> Tensor:
        rows = torch.arange(len(batch.images), device=batch.images.device)
        objective = CrossEntropy(batch.model, batch.labels)
        found = differentiate(objective, batch.images, rows, batch.indices)
        return self.ball.step(batch.images, found.gradient, self.epsilon, batch.images)
