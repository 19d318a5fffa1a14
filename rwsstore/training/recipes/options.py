"""What each recipe with settings takes, without the recipe: a --help need not wait for torch."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import Field, field_validator

from rwsstore.config import Frozen
from rwsstore.training.config import TrainingConfig

if TYPE_CHECKING:
    from rwsstore.attacks import Ball
    from rwsstore.probes.parameter_corruption import Constraint

FAILING_WEIGHTS = TrainingConfig(epochs=4, learning_rate=0.01, clip_norm=1.0)
"""What suits a clean model that is to bear failing weights."""

FAST_STEP = 1.25
"""Times ε, the single step of fast adversarial training (Wong et al., 2020)."""

_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(gt=0, le=1)]


class RecipeOptions(Frozen, allow_inf_nan=False):
    """What all of these recipes take.

    Attributes:
        recipe: the name of the recipe that takes them.
        training: the training that suits it.
        layers: names of the layers that train, as `ordered_layers` has them; None: all.
    """

    recipe: ClassVar[str]
    training: ClassVar[TrainingConfig] = TrainingConfig()

    layers: Annotated[
        tuple[str, ...] | None, Field(min_length=1, description="layers that train")
    ] = None


class AdversarialTrainingOptions(RecipeOptions):
    """The inner maximization: projected ascent from a random start; CLAT's numbers by default.

    Attributes:
        epsilon: ε, L∞, in units of [0, 1] images.
        steps: of the ascent.
        step_size: of it; None for 2.5·ε/steps.
        judged: validation images that each epoch is judged on, under PGD-10 at this ε; 0 judges
            by accuracy on the clean ones, all of them.
    """

    recipe: ClassVar[str] = "pgd_at"
    training: ClassVar[TrainingConfig] = TrainingConfig(epochs=50, clip_norm=5.0)

    epsilon: Annotated[float, Field(gt=0, le=1, description="ε, L∞, of images in [0, 1]")] = 0.03
    steps: Annotated[int, Field(ge=1, le=1000, description="of the attack on each batch")] = 10
    step_size: Annotated[_Share | None, Field(description="of that attack; none: 2.5·ε/steps")] = (
        0.007
    )
    judged: Annotated[
        int,
        Field(ge=0, description="images that choose the epoch, under PGD-10; 0: all, clean"),
    ] = 500

    @property
    def ball(self) -> "Ball":
        """The budget."""
        from rwsstore.attacks import Ball

        return Ball(self.epsilon)

    @property
    def chosen_step_size(self) -> float:
        """The step size, where none was given too."""
        from rwsstore.attacks.pgd import default_step_size

        return self.step_size or default_step_size(self.epsilon, self.steps)


class FastAtOptions(AdversarialTrainingOptions):
    """A single step, 1.25·ε long, from a random start.

    Attributes:
        steps: 1.
        step_size: None for 1.25·ε.
    """

    recipe: ClassVar[str] = "fast_at"

    steps: Annotated[int, Field(ge=1, le=1, description="of the attack on each batch: 1")] = 1
    step_size: Annotated[_Share | None, Field(description="of that attack; none: 1.25·ε")] = None

    @property
    def chosen_step_size(self) -> float:
        """The step size, where none was given too."""
        return self.step_size or FAST_STEP * self.epsilon


class TradesOptions(AdversarialTrainingOptions):
    """TRADES' own weight.

    Attributes:
        beta: β, the weight of the divergence (1/λ in the paper).
    """

    recipe: ClassVar[str] = "trades"

    beta: Annotated[float, Field(ge=0, description="β, weight of the predictions' change")] = 6.0


class ClatOptions(AdversarialTrainingOptions):
    """What is fine-tuned, and towards what.

    Attributes:
        strength: λ, the weight of the features' change.
        k: layers that train at a time; None for a twentieth of them, at least 1.
        every: epochs from one selection to the next; None: the first one stays.
        every_steps: steps from one selection to the next, instead of `every`.
        select: by criticality, or at random, to compare with.
        images: training images that criticality is measured on, drawn anew each time.
        fast: one step of 1.25·ε in the inner maximization; `steps` and `step_size` do not count.
        perturbed: share of the cross-entropy that is taken at x + δ; 0 in the paper.
        inner: what δ raises: the change of the critical layers' features, as in the paper, or the
            loss, as in PGD-AT.
    """

    recipe: ClassVar[str] = "clat"
    training: ClassVar[TrainingConfig] = TrainingConfig(
        epochs=20, learning_rate=0.02, clip_norm=1.0
    )

    strength: Annotated[float, Field(ge=0, description="λ, weight of the features' change")] = 0.01
    k: Annotated[_Count | None, Field(description="layers that train at a time; none: 5 %")] = None
    every: Annotated[
        _Count | None, Field(description="epochs until the next selection; none: never")
    ] = 10
    every_steps: Annotated[
        _Count | None, Field(description="steps until the next selection, instead")
    ] = None
    select: Annotated[
        Literal["critical", "random"], Field(description="critical layers, or random ones")
    ] = "critical"
    images: Annotated[
        int, Field(ge=1, description="training images that criticality is measured on")
    ] = 100
    fast: Annotated[bool, Field(description="attack in one step of 1.25·ε")] = False
    perturbed: Annotated[
        float,
        Field(ge=0, le=1, description="share of the cross-entropy that is of attacked images"),
    ] = 0.0
    inner: Annotated[
        Literal["features", "loss"], Field(description="what the attack raises: features or loss")
    ] = "features"


class CorruptionResistantOptions(RecipeOptions):
    """Which corruption is trained against, and how much it weighs.

    Attributes:
        epsilon: ε, the norm of the virtual corruption.
        p: of the norm, 1 or more, or "inf".
        n: how many of the trained parameters it changes at most; None: all.
        weight: λ₁, the corrupted loss's share of the whole, above 0 and at most 1.
    """

    recipe: ClassVar[str] = "corruption_resistant"
    training: ClassVar[TrainingConfig] = FAILING_WEIGHTS

    epsilon: Annotated[float, Field(gt=0, description="norm of the virtual corruption")] = 0.5
    p: Annotated[
        Annotated[float, Field(ge=1)] | Literal["inf"], Field(description="of the norm, inf too")
    ] = 2.0
    n: Annotated[_Count | None, Field(description="parameters changed at most")] = None
    weight: Annotated[float, Field(gt=0, le=1, description="λ₁")] = 0.5

    @property
    def constraint(self) -> "Constraint":
        """The set that the corruption is taken from."""
        from rwsstore.probes.parameter_corruption import Constraint

        return Constraint(self.epsilon, math.inf if self.p == "inf" else self.p, self.n)


class HessianAwareOptions(RecipeOptions):
    """How much curvature costs, and where.

    Attributes:
        strength: λ, the weight of the trace in the loss.
        trace_layers: the term looks at so many of the deepest layers that train, or at all where
            they are fewer; None: at all.
        share: of the diagonal's entries, the largest, that count; 1: the whole trace.
        draws: of Hutchinson's estimator in a step.
        threshold: the term is added where the trace is above so many times its running mean; 0:
            always.
        images: of a batch that the trace is estimated on, at most.
    """

    recipe: ClassVar[str] = "hessian_aware"
    training: ClassVar[TrainingConfig] = TrainingConfig(
        epochs=1, learning_rate=0.0075, clip_norm=1.0
    )

    strength: Annotated[float, Field(ge=0, description="λ, weight of the trace")] = 0.001
    trace_layers: Annotated[_Count | None, Field(description="deepest layers looked at")] = 9
    share: Annotated[float, Field(gt=0, le=1, description="largest entries that count")] = 0.5
    draws: Annotated[int, Field(ge=1, le=100, description="of the estimator, a step")] = 1
    threshold: Annotated[float, Field(ge=0, description="times the running mean")] = 0.5
    images: Annotated[int, Field(ge=1, description="of a batch, at most")] = 32


_Filter = Literal["h1", "h2", "h3"]
_LayerKind = Literal["fragile", "robust", "antifragile"]


class SelectiveOptions(RecipeOptions):
    """Which layers train, and how they are found.

    Attributes:
        train: kinds of layers that train.
        filters: whose mean score decides, none of them twice.
        score: the score that decides: s1 on clean images, s2 under FGSM, s3 their difference.
        tolerance: a score of at most so much to either side of 0 is robust.
        above_chance: normalise accuracies above chance, not as they are.
        every: epochs from one scoring to the next; the first is before the first epoch.
        images: training images that they are scored on, drawn anew each time, as many of each
            class.
        thresholds: for each layer and filter, odd, 3 or more.
        attack_epsilon: ε of FGSM, in units of [0, 1] images.
    """

    recipe: ClassVar[str] = "selective"
    training: ClassVar[TrainingConfig] = FAILING_WEIGHTS

    train: Annotated[
        tuple[_LayerKind, ...], Field(min_length=1, description="kinds of layers that train")
    ] = ("robust", "antifragile")
    filters: Annotated[
        tuple[_Filter, ...], Field(min_length=1, description="filters whose mean score decides")
    ] = get_args(_Filter)
    score: Annotated[Literal["s1", "s2", "s3"], Field(description="score that decides")] = "s2"
    tolerance: Annotated[float, Field(ge=0, description="how far from 0 is robust")] = 0.1
    above_chance: Annotated[bool, Field(description="normalise above chance")] = True
    every: Annotated[int, Field(ge=1, description="epochs between scorings")] = 2
    images: Annotated[int, Field(ge=1, description="training images scored on")] = 100
    thresholds: Annotated[int, Field(ge=3, description="odd; per filter")] = 13
    attack_epsilon: Annotated[float, Field(gt=0, le=1, description="ε of FGSM")] = 0.015

    @field_validator("thresholds")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, for Simpson's rule")
        return value

    @field_validator("filters", "train")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names one twice")
        return value


class SharpnessAwareOptions(RecipeOptions):
    """How far beside the weights the gradient is taken.

    Attributes:
        rho: ρ, above 0.
    """

    recipe: ClassVar[str] = "sharpness_aware"

    rho: Annotated[float, Field(gt=0, description="ρ, how far beside the weights")] = 0.05


WEIGHT_OPTIONS: Mapping[str, type[RecipeOptions]] = MappingProxyType(
    {
        one.recipe: one
        for one in (CorruptionResistantOptions, HessianAwareOptions, SelectiveOptions, ClatOptions)
    }
)
"""Settings of the recipes whose difference to the clean model becomes a patch, by their names."""

RECIPE_OPTIONS: Mapping[str, type[RecipeOptions]] = MappingProxyType(
    {
        **WEIGHT_OPTIONS,
        **{
            one.recipe: one
            for one in (
                AdversarialTrainingOptions,
                FastAtOptions,
                TradesOptions,
                SharpnessAwareOptions,
            )
        },
    }
)
"""Settings of all recipes that have some, by their names."""

RECIPE_NAMES = ("clean", "robust", "augmented", *RECIPE_OPTIONS)
"""All recipes."""
