"""How patches are made, and how their cards are measured."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rwsstore.config import Frozen
from rwsstore.training import TrainingConfig

Anchor = Literal["clean", "pretrained", "early"]
"""Where θ_init comes from: the clean model itself, a pre-trained checkpoint, or an early
checkpoint of the clean run."""

_Bits = Literal[32, 16, 8, 4, 3, 2]
_Alpha = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
_Alphas = Annotated[tuple[_Alpha, ...], Field(min_length=1, max_length=100)]
_ALPHAS = 0.25, 0.5, 0.75, 1.0, 1.25
_Count = Annotated[int, Field(ge=1)]


class DeltaOptions(Frozen, allow_inf_nan=False):
    """What is not the recipe's own: training, quantization and the robustness card.

    Attributes:
        alpha: recommended strength; below 1 it gives some of the gain back for clean accuracy.
        training: None: the recipe's own defaults.
        alphas: grid of the card besides 0.
        card_images: validation images that the card is measured on, at most.
        card_budget: ε at which RA is measured; None: the recipe's own. Bit flips have none.
        card_flips: bits that are flipped, one at a time, for RA against bit flips.
    """

    bits: _Bits = 8
    alpha: _Alpha = 1.0
    training: TrainingConfig | None = None
    alphas: _Alphas = _ALPHAS
    card_images: _Count = 500
    card_budget: Annotated[float, Field(gt=0)] | None = None
    card_flips: Annotated[int, Field(ge=1, le=1_000_000)] = 64


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
        alphas: grid of the robustness card besides 0, rising.
        card_images: validation images that the card is measured on, at most.
        training: of the robust counterpart; what a file leaves out is as it is by default here,
            not as in `TrainingConfig`.
    """

    severity: Annotated[int, Field(ge=1, le=5)] = 5
    layers: _Count = 5
    training_mode: Literal["shallow", "full"] = "shallow"
    bits: _Bits = 8
    anchor: Anchor = "clean"
    alphas: _Alphas = _ALPHAS
    card_images: _Count = 2000
    training: TrainingConfig = Field(default_factory=_default_training)

    @field_validator("training", mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        return {**_default_training().model_dump(), **value} if isinstance(value, dict) else value
