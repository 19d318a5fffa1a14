"""Accuracy of anything that takes images to logits, and under attack."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack

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
    found = []
    for start in starts:
        logits = predict(images[start : start + batch_size])
        # A damaged model says nothing with NaN; argmax would take it for the class at its place.
        found.append(logits.argmax(dim=1).masked_fill(~logits.isfinite().all(dim=1), -1))
    return torch.cat(found)


def correctness(
    predict: Predict, images: Tensor, labels: Tensor, *, batch_size: int = 250
) -> Tensor:
    """Tell which images are classified as labelled, bool [N]; what `bootstrap` takes."""
    return predictions(predict, images, batch_size=batch_size) == labels


def correct_under(
    model: nn.Module,
    attacks: Sequence[Attack],
    images: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    indices: Tensor | None = None,
    batch_size: int = 250,
    early_exit: bool = True,
) -> Tensor:
    """Tell which images stay right under every attack, bool [N]; each is tried on what is left.

    Args:
        model: in evaluation mode; what it is attacked with is made on itself.
        attacks: in the order in which they are tried.
        images: [N, 3, H, W], uint8 or in [0, 1].
        labels: int64 [N].
        seed: of the attacks.
        indices: int64 [N], each image's index in its data set; 0 … N - 1 by default.
        batch_size: images at a time.
        early_exit: as in `Attack.perturb`.
    """
    right = torch.ones(len(images), dtype=torch.bool)
    places = torch.arange(len(images)) if indices is None else indices
    for attack in attacks:
        rows = right.nonzero().flatten()
        if len(rows):
            changed = attack.perturb(
                model, images[rows], labels[rows], seed=seed, indices=places[rows],
                batch_size=batch_size, early_exit=early_exit,
            )  # fmt: skip
            right[rows] = correctness(model, changed, labels[rows], batch_size=batch_size)
    return right


def accuracy(predict: Predict, images: Tensor, labels: Tensor, *, batch_size: int = 250) -> float:
    """Share of images that are classified as labelled, in percent."""
    return percent(correctness(predict, images, labels, batch_size=batch_size))


def percent(right: Tensor) -> float:
    """The share of what is true, bool [N], in percent."""
    return 100.0 * float(right.double().mean())


def to_digits(right: Tensor) -> str:
    """Write which images are right, bool [N], as a 1 or a 0 for each, to be kept as JSON."""
    return "".join("01"[one] for one in right.tolist())


def from_digits(text: str) -> Tensor:
    """Read what `to_digits` wrote."""
    return torch.tensor([one == "1" for one in text])
