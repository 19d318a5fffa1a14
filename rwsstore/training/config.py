"""Every parameter of a training run, its learning rate and seeds, and what it found."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rwsstore.config import Frozen

if TYPE_CHECKING:
    from torch import nn

    from rwsstore.data import ImageSet

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainingConfig(Frozen, allow_inf_nan=False):
    """Gradient descent with momentum, a short warm-up and a cosine to zero.

    Attributes:
        version: of this description.
        epochs: passes over the training images.
        optimizer: "sgd", with Nesterov momentum, or "rmsprop".
        batch_size: images a step.
        learning_rate: its peak.
        momentum: of the gradient.
        weight_decay: on weights of two dimensions and more; biases and norms are left alone.
        warmup: share of all steps in which the learning rate rises from zero.
        label_smoothing: share of the target spread over all classes.
        clip_norm: gradients of a larger norm are scaled down to it; 0 never does.
        padding: pixels of the random crop's border; 0 with `flip` off leaves images in place.
        flip: mirror half of the images.
        seed: of the order, the crops, the flips and the corruptions.
    """

    version: Literal[1] = 1
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    optimizer: Literal["sgd", "rmsprop"] = "sgd"
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    learning_rate: Positive = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    warmup: Share = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    flip: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


def learning_rate(step: int, total: int, *, peak: float, warmup: float) -> float:
    """Linear from near zero to the peak, then a half cosine to zero.

    Args:
        step: 0 to total − 1.
        total: steps of the whole run.
        peak: the largest learning rate.
        warmup: share of the steps that rise.
    """
    rising = int(total * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


class EpochRecord(Frozen):
    """One epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps.
        accuracy: what the recipe judges the validation images by, in percent: accuracy on them as
            it shows them, or under attack.
        terms: what the loss is made of, where the recipe says.
    """

    epoch: Annotated[int, Field(ge=1)]
    loss: float
    accuracy: float
    terms: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A finished run.

    Attributes:
        model: the network of the best epoch, in evaluation mode.
        best: that epoch, chosen on the validation images; the earliest among equals.
        history: all epochs.
    """

    model: "nn.Module"
    best: EpochRecord
    history: tuple[EpochRecord, ...]


_LARGEST = 5000


def hold_out(
    images: "ImageSet", *, validation: int | None = None, limit: int | None = None, seed: int = 0
) -> tuple["ImageSet", "ImageSet"]:
    """Divide a training split into images to train on and images to choose by.

    Args:
        images: the training split.
        validation: how many to hold out; None: a tenth, at most 5,000.
        limit: use only so many images in all.
        seed: of both choices, which are balanced by class.

    Returns:
        (train, validation).

    Raises:
        ConfigError: more images are asked for than there are.
    """
    chosen = images if limit is None else images.limit(limit, seed)
    return chosen.split_off(validation or min(_LARGEST, max(1, len(chosen) // 10)), seed)
