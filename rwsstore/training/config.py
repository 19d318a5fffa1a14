"""Every parameter of a training run."""

__all__ = ["TrainingConfig"]

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainingConfig(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
