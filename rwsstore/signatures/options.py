"""Every parameter of an extraction."""

__all__ = ["Anchor", "ExtractionOptions"]

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rwsstore.config import Frozen
from rwsstore.training import TrainingConfig

Anchor = Literal["clean", "pretrained", "early"]
"""Where θ_init comes from: the clean model itself, a pre-trained checkpoint, or an early
checkpoint of the clean run."""

Alpha = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]


def _default_training() -> TrainingConfig:
    return TrainingConfig(
        epochs=4, learning_rate=0.02, warmup=0.1, weight_decay=5e-4, clip_norm=1.0
    )


class ExtractionOptions(Frozen, allow_inf_nan=False):
    """How a signature is trained for, extracted and measured.

    Attributes:
        severity: of the corruption, 1 to 5.
        layers: how many of the shallowest layers the patch covers, the paper's K.
        training_mode: "shallow" trains just these layers, the deeper ones frozen; "full" trains
            all and cuts the rest off, the paper's protocol.
        bits: a weight, as stored: 32, 16, 8, 4, 3 or 2.
        anchor: where both trainings started.
        alphas: grid of the robustness card besides 0, rising.
        card_images: validation images that the card is measured on, at most.
        training: of the robust counterpart; what a file leaves out is as it is by default here,
            not as in `TrainingConfig`.
    """

    severity: Annotated[int, Field(ge=1, le=5)] = 5
    layers: Annotated[int, Field(ge=1)] = 5
    training_mode: Literal["shallow", "full"] = "shallow"
    bits: Literal[32, 16, 8, 4, 3, 2] = 8
    anchor: Anchor = "clean"
    alphas: Annotated[tuple[Alpha, ...], Field(min_length=1, max_length=100)] = (
        0.25, 0.5, 0.75, 1.0, 1.25,
    )  # fmt: skip
    card_images: Annotated[int, Field(ge=1)] = 2000
    training: TrainingConfig = Field(default_factory=_default_training)

    @field_validator("training", mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        return {**_default_training().model_dump(), **value} if isinstance(value, dict) else value
