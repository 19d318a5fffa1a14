"""How a delta becomes a patch, and how its card is measured."""

__all__ = ["DeltaOptions"]

from typing import Annotated, Literal

from pydantic import Field

from rwsstore.config import Frozen
from rwsstore.training import TrainingConfig

Alpha = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]


class DeltaOptions(Frozen, allow_inf_nan=False):
    """What is not the recipe's own: training, quantization and the robustness card.

    Attributes:
        bits: a weight, as stored: 32, 16, 8, 4, 3 or 2.
        alpha: recommended strength; below 1 it gives some of the gain back for clean accuracy.
        training: None: the recipe's own defaults.
        alphas: grid of the card besides 0.
        card_images: validation images that the card is measured on, at most.
        card_budget: ε at which RA is measured; None: the recipe's own. Bit flips have none.
        card_flips: bits that are flipped, one at a time, for RA against bit flips.
    """

    bits: Literal[32, 16, 8, 4, 3, 2] = 8
    alpha: Alpha = 1.0
    training: TrainingConfig | None = None
    alphas: Annotated[tuple[Alpha, ...], Field(min_length=1, max_length=100)] = (
        0.25, 0.5, 0.75, 1.0, 1.25,
    )  # fmt: skip
    card_images: Annotated[int, Field(ge=1)] = 500
    card_budget: Annotated[float, Field(gt=0)] | None = None
    card_flips: Annotated[int, Field(ge=1, le=1_000_000)] = 64
