"""Parameters of the studies of CLAT."""

__all__ = ["ClatPatchSettings", "ClatSettings", "CleanStart", "Evaluation", "OtherNetwork"]

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rwsstore.config import Frozen
from rwsstore.training import AdversarialTrainingOptions, ClatOptions, TrainingConfig

Count = Annotated[int, Field(ge=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


class Evaluation(Frozen, allow_inf_nan=False):
    """What every model of the studies is measured with.

    Attributes:
        test_images: at most, as many of each class.
        pgd_steps: of PGD, from one random start.
        apgd_steps: of APGD-CE, from one random start.
        resamples: of the images, for the intervals.
    """

    test_images: Count = 2500
    pgd_steps: Count = 20
    apgd_steps: Count = 100
    resamples: Annotated[int, Field(ge=40)] = 2000


class CleanStart(Frozen, allow_inf_nan=False):
    """Table 9.

    Attributes:
        training: of the clean model.
        finetuning: of CLAT from it, and of PGD-AT from it.
        recipe: of CLAT.
    """

    training: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.1, clip_norm=5.0)
    finetuning: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.05, clip_norm=5.0)
    recipe: ClatOptions = ClatOptions(every=5)


class OtherNetwork(Frozen, allow_inf_nan=False):
    """A second network of the black-box matrix.

    Attributes:
        network: its name.
        width: factor on its channels.
        k: layers that CLAT trains at a time; None: a twentieth.
    """

    network: str = "vgg16"
    width: Annotated[float, Field(gt=0, le=8)] = 0.125
    k: Count | None = None


class ClatSettings(Frozen, allow_inf_nan=False):
    """Tables 1, 2, 4, 5 and 9 and Figure 3 of CLAT, on a small network.

    Attributes:
        network: its name; its BatchNorm is left in.
        width: factor on its channels.
        train_images: that all of its trainings see, at most, as many of each class.
        seeds: of the main comparison: each is another start, order and attack.
        ablation_seeds: of the comparisons of layers, the first of those.
        epsilon: ε, L∞, of every training and every attack.
        pretrained: adversarial training begins at the model of `clean.training`, not at random
            weights.
        evaluation: how models are measured.
        adversarial: inner maximization of adversarial training; that of fast_at has one step.
        beta: of TRADES.
        training: of the baseline, all of its epochs.
        half: epochs of the adversarial training that CLAT starts from, with a schedule of their
            own.
        finetuning: the epochs of CLAT after that.
        recipe: of CLAT.
        others: further baselines, with one seed.
        counts: k of Figure 3, rising; all layers are added.
        clean: of the clean start.
        second: network of the black-box matrix beside the first; None: the first's second seed.
    """

    network: str = "resnet32_stride2"
    width: Annotated[float, Field(gt=0, le=8)] = 1.0
    train_images: Count = 4000
    seeds: Annotated[int, Field(ge=1, le=20)] = 3
    ablation_seeds: Annotated[int, Field(ge=1, le=20)] = 1
    epsilon: Epsilon = 0.03
    pretrained: bool = False
    evaluation: Evaluation = Evaluation()
    adversarial: AdversarialTrainingOptions = AdversarialTrainingOptions(steps=5, step_size=None)
    beta: Annotated[float, Field(ge=0)] = 6.0
    training: TrainingConfig = TrainingConfig(epochs=30, learning_rate=0.1, clip_norm=5.0)
    half: Count = 15
    finetuning: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.02, clip_norm=5.0)
    recipe: ClatOptions = ClatOptions(every=5)
    others: tuple[Literal["fast_at", "trades"], ...] = ("fast_at", "trades")
    counts: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 16)
    clean: CleanStart = CleanStart()
    second: OtherNetwork | None = None

    @model_validator(mode="after")
    def _check_epsilons(self) -> Self:
        for name in ("adversarial", "recipe"):
            if getattr(self, name).epsilon != self.epsilon:
                raise ValueError(f"{name}.epsilon must be epsilon")
        if self.clean.recipe.epsilon != self.epsilon:
            raise ValueError("clean.recipe.epsilon must be epsilon")
        return self

    @model_validator(mode="after")
    def _check_budgets(self) -> Self:
        if self.half + self.finetuning.epochs != self.training.epochs:
            raise ValueError("half and finetuning.epochs must make training.epochs")
        if self.ablation_seeds > self.seeds:
            raise ValueError("ablation_seeds must not be more than seeds")
        if self.second is None and self.seeds < 2:
            raise ValueError("seeds must be 2 or more where there is no second network")
        return self

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if list(self.counts) != sorted(set(self.counts)):
            raise ValueError("counts must rise, and name none twice")
        if len(set(self.others)) != len(self.others):
            raise ValueError("others must name none twice")
        if self.recipe.every is None and self.recipe.every_steps is None:
            raise ValueError("recipe must select again: every or every_steps is wanted")
        if self.recipe.select != "critical":
            raise ValueError("recipe.select must be critical")
        return self


class ClatPatchSettings(Frozen, allow_inf_nan=False):
    """The bundled patch of kind `clat`, alone and with the patches of corruptions.

    Attributes:
        alphas: strengths of it, rising from above 0.
        images: test images for TA and RA, at most.
        attack_images: test images that are attacked, at most.
        epsilon: ε of the attacks, L∞.
        pgd_steps: of PGD.
        apgd_steps: of APGD-CE.
        gain: points of adversarial accuracy that the patch is to raise.
        resamples: of the images, for the intervals.
    """

    alphas: Annotated[tuple[Annotated[float, Field(gt=0, le=2)], ...], Field(min_length=1)] = (
        0.25, 0.5, 0.75, 1.0,
    )  # fmt: skip
    images: Count = 1000
    attack_images: Count = 500
    epsilon: Epsilon = 4 / 255
    pgd_steps: Count = 20
    apgd_steps: Count = 100
    gain: Annotated[float, Field(gt=0)] = 15.0
    resamples: Annotated[int, Field(ge=40)] = 2000

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.alphas) != sorted(set(self.alphas)):
            raise ValueError("alphas must rise, and name none twice")
        return self
