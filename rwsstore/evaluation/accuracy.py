"""Accuracy of anything that takes images to logits."""

__all__ = ["Predict", "accuracy", "correctness", "predictions"]

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Images [B, 3, H, W], uint8 or in [0, 1], to logits [B, C]."""


@torch.inference_mode()
def predictions(predict: Predict, images: Tensor, *, batch_size: int = 250) -> Tensor:
    """Classify a whole set.

    Args:
        predict: in evaluation mode.
        images: [N, 3, H, W].
        batch_size: images a call.

    Returns:
        int64 [N], the index of the largest logit; -1, which is no class, where a logit is NaN or
        infinite.
    """
    starts = range(0, len(images), batch_size)
    return torch.cat([_predicted(predict(images[start : start + batch_size])) for start in starts])


def _predicted(logits: Tensor) -> Tensor:
    # A damaged model says nothing with NaN; argmax would take it for the class at its place.
    return logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1)


def correctness(
    predict: Predict, images: Tensor, labels: Tensor, *, batch_size: int = 250
) -> Tensor:
    """Tell which images are classified as labelled, bool [N]; what `bootstrap` takes."""
    return predictions(predict, images, batch_size=batch_size) == labels


def accuracy(predict: Predict, images: Tensor, labels: Tensor, *, batch_size: int = 250) -> float:
    """Share of images that are classified as labelled, in percent."""
    right = correctness(predict, images, labels, batch_size=batch_size)
    return 100.0 * float(right.double().mean())
