"""Projected gradient ascent on how far predictions move, whatever the right class is.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan, Theoretically Principled Trade-off between Robustness
and Accuracy (TRADES), ICML 2019, the inner maximization of equation 5.
"""

__all__ = ["ascend_divergence", "divergence"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks.ascent import ascend
from rwsstore.attacks.ball import Ball


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """KL(softmax(before) ‖ softmax(after)) of each image, in nats; float32 [B].

    Args:
        before: logits [B, C].
        after: logits [B, C].
    """
    target, log_after = F.log_softmax(before.float(), 1), F.log_softmax(after.float(), 1)
    return F.kl_div(log_after, target, reduction="none", log_target=True).sum(1)


class _Moved:
    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._model = model
        with torch.no_grad():
            self._before = model(images)

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._model(images)
        return divergence(self._before[rows], logits), logits


def ascend_divergence(
    model: nn.Module,
    images: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Move predictions in the loop of a training: TRADES' inner maximization.

    Nothing is checked, no image leaves early, and the last point counts. Parameters get no
    gradient. A model in training mode sees the images as it does in training: its BatchNorm counts
    them.

    Args:
        model: images to logits [B, C].
        images: float32 [B, 3, H, W] in [0, 1].
        ball: the budget.
        step_size: in the units of ε.
        steps: gradients.
        generator: of the random start; at the images themselves the divergence has no gradient.

    Returns:
        float32 [B, 3, H, W] in [0, 1].

    Raises:
        TensorError: a divergence or gradient is NaN or infinite.
    """
    objective = _Moved(model, images)
    return ascend(objective, images, ball, step_size=step_size, steps=steps, generator=generator)
