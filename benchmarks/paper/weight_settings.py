"""Parameters of the studies of weights that fail."""

__all__ = ["CorruptionResistantSettings", "HessianAwareSettings"]

from typing import Annotated, Literal

from pydantic import Field

from rwsstore.config import Frozen
from rwsstore.training import CorruptionResistantOptions, HessianAwareOptions, TrainingConfig

Bits = Literal[32, 16, 8, 4, 3, 2]


class CorruptionResistantSettings(Frozen, allow_inf_nan=False):
    """Table 2 of the study of parameter corruption.

    Attributes:
        recipe: λ₁, ε, p and n of the training.
        training: of the plain run and of the other, from the clean model.
        bits: of the patch.
        epsilons: of the gradient-based corruption that is measured, p = 2, rising.
        gradient_images: training images that its gradient is taken on.
        lost: points of accuracy that the plain run has lost where the two are compared.
        allowed: points that the patched model may have lost there.
    """

    recipe: CorruptionResistantOptions = CorruptionResistantOptions()
    training: TrainingConfig = TrainingConfig(epochs=3, learning_rate=0.01, clip_norm=1.0)
    bits: Bits = 8
    epsilons: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (
        0.05, 0.1, 0.2, 0.5, 1.0,
    )  # fmt: skip
    gradient_images: Annotated[int, Field(ge=1)] = 2000
    lost: Annotated[float, Field(gt=0)] = 20.0
    allowed: Annotated[float, Field(gt=0)] = 10.0


class HessianAwareSettings(Frozen, allow_inf_nan=False):
    """Flipped bits after Hessian-aware training and its rivals.

    Attributes:
        recipe: of the Hessian-aware training.
        training: of all runs, from the clean model; the rivals differ in one thing each.
        l2: weight decay of the run with more of it.
        rho: of sharpness-aware minimization.
        bits: of the patch.
        sites: weights whose exponent's top bit is flipped, one at a time.
        images: test images that each flip is measured on.
        resamples: of the sites, for the intervals.
    """

    recipe: HessianAwareOptions = HessianAwareOptions()
    training: TrainingConfig = TrainingConfig(epochs=1, learning_rate=0.0075, clip_norm=1.0)
    l2: Annotated[float, Field(ge=0, le=1)] = 5e-3
    rho: Annotated[float, Field(gt=0)] = 0.05
    bits: Bits = 8
    sites: Annotated[int, Field(ge=10)] = 3000
    images: Annotated[int, Field(ge=1)] = 250
    resamples: Annotated[int, Field(ge=40)] = 2000
