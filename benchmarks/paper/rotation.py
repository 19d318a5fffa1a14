"""Pre-training without labels: which way is up (Gidaris et al., ICLR 2018).

Every image is turned by a multiple of 90 degrees, and the network says by which. The first four
logits stand for the four turns.
"""

__all__ = ["RotationRecipe", "turned", "turned_set"]

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.training import Recipe

TURNS = 4


def turned(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turn image i of a batch by i mod 4 quarter turns.

    The authors show each image in all four turns at once; here a quarter as many a step, which an
    epoch's random order makes up for.

    Args:
        images: square, [B, 3, S, S].

    Returns:
        (images of the same shape, int64 [B] in 0..3).
    """
    turns = torch.arange(len(images)) % TURNS
    result = images.clone()
    for turn in range(1, TURNS):
        result[turn::TURNS] = images[turn::TURNS].rot90(turn, (2, 3))
    return result, turns


def turned_set(images: ImageSet) -> ImageSet:
    """The same for a whole set, the turns in place of the classes.

    Raises:
        ConfigError: there are fewer than four classes, so that a network has too few logits.
    """
    if len(images.classes) < TURNS:
        raise ConfigError(
            f"{len(images.classes)} classes; pre-training on quarter turns needs a network with "
            f"{TURNS} logits or more"
        )
    pictures, turns = turned(images.images)
    return replace(images, images=pictures, labels=turns, name=f"{images.name}, turned")


class RotationRecipe(Recipe):
    """Training on quarter turns, made of each batch after crop and flip; labels are not used."""

    name = "rotation"

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002  # as they are
        """The images as they are; they are turned in the loss, which knows by how much."""
        return images

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,  # noqa: ARG002  # that is the point
        smoothing: float,
    ) -> Tensor:
        """Cross-entropy of the turns."""
        pictures, turns = turned(images)
        return F.cross_entropy(model(pictures).float(), turns, label_smoothing=smoothing)
