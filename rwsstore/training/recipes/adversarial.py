"""Adversarial training: on images that are attacked anew in every step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from rwsstore import attacks, data
from rwsstore.faces import later
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes import base

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

else:
    torch = later("torch")

FAST_STEP = 1.25
"""Times ε, the single step of fast adversarial training (Wong et al., 2020)."""


class Averages:
    """Running means by name, weighted by the images of each batch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = 0

    def add(self, images: int, **values: Tensor) -> None:
        """Count a batch's means."""
        self._images += images
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + images * float(value.detach())

    def means(self) -> dict[str, float]:
        """The means so far; nothing before the first batch."""
        return {name: total / self._images for name, total in self._sums.items()}


class AdversarialTrainingOptions(base.RecipeOptions):
    """The inner maximization: projected ascent from a random start; CLAT's numbers by default.

    Attributes:
        epsilon: ε, L∞, in units of [0, 1] images.
        judged: validation images that each epoch is judged on, under PGD-10 at this ε; 0 judges
            by accuracy on the clean ones, all of them.
    """

    epsilon: Annotated[float, Field(gt=0, le=1, description="ε, L∞, of images in [0, 1]")] = 0.03
    steps: Annotated[int, Field(ge=1, le=1000, description="of the attack on each batch")] = 10
    step_size: Annotated[
        base.Share | None, Field(description="of that attack; none: 2.5·ε/steps")
    ] = 0.007
    judged: Annotated[
        int,
        Field(ge=0, description="images that choose the epoch, under PGD-10; 0: all, clean"),
    ] = 500

    @property
    def ball(self) -> attacks.Ball:
        """The budget."""
        return attacks.Ball(self.epsilon)

    @property
    def chosen_step_size(self) -> float:
        """The step size, where none was given too."""
        return self.step_size or attacks.default_step_size(self.epsilon, self.steps)


_JUDGED_STEPS = 10


class AdversarialRecipe(base.ConfiguredRecipe):
    """What adversarial trainings share: seeded starts, two terms, and a judge under attack.

    The inner maximization sees the network as the step does, BatchNorm by its batch, but is not
    counted in the running statistics: our own choice.
    """

    Options = AdversarialTrainingOptions
    defaults = TrainingConfig(epochs=50, clip_norm=5.0)
    settings: AdversarialTrainingOptions

    def __init__(self, options: base.RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._generator = torch.Generator().manual_seed(0)
        self._terms = Averages()

    def begin_epoch(self, model: nn.Module, train: data.ImageSet, epoch: int, seed: int) -> None:  # noqa: ARG002
        """Seed the random starts."""
        self._generator.manual_seed(seed)
        self._terms = Averages()

    def terms(self) -> dict[str, float]:
        """Means of the loss's parts."""
        return self._terms.means()

    def score(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
        """Accuracy under PGD-10 on as many of the images as the settings say, in percent."""
        from rwsstore.attacks.search import plain_float32
        from rwsstore.measure.accuracy import accuracy, correct_under, percent

        settings = self.settings
        if settings.judged == 0:
            return accuracy(model, images, labels)
        count = min(settings.judged, len(images))
        rows = torch.arange(count) * len(images) // count  # evenly: sets may be sorted by class
        attack = attacks.Pgd(settings.epsilon, steps=_JUDGED_STEPS)
        with plain_float32():  # what only just fools the model in float32 may not do so in bfloat16
            return percent(correct_under(model, [attack], images[rows], labels[rows], seed=seed))

    def scored_on(self, images: int) -> str:
        """How many images, and the attack."""
        plain, settings = super().scored_on(images), self.settings
        if settings.judged == 0:
            return plain
        count = min(settings.judged, images)
        return f"{count:,} of {plain} under PGD-{_JUDGED_STEPS}, ε = {settings.epsilon:g}"

    def _ascent(self) -> dict[str, Any]:
        """What every inner maximization takes: budget, steps, random start."""
        settings = self.settings
        return {
            "ball": settings.ball,
            "step_size": settings.chosen_step_size,
            "steps": settings.steps,
            "generator": self._generator,
        }

    @abstractmethod
    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """The outer minimization's loss, at images that are attacked here."""


@base.recipe
class PgdAtRecipe(AdversarialRecipe):
    """PGD-AT: cross-entropy at x + δ, δ from PGD (Madry et al., ICLR 2018)."""

    name = "pgd_at"

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of attacked images."""
        with base.still_statistics(model):
            attacked = attacks.ascend_loss(
                model, data.unit_images(images), labels, **self._ascent()
            )
        return super(AdversarialRecipe, self).loss(model, attacked, labels, smoothing)


class FastAtOptions(AdversarialTrainingOptions):
    """A single step, 1.25·ε long, from a random start."""

    steps: Annotated[int, Field(ge=1, le=1, description="of the attack on each batch: 1")] = 1
    step_size: Annotated[base.Share | None, Field(description="of that attack; none: 1.25·ε")] = (
        None
    )

    @property
    def chosen_step_size(self) -> float:
        """The step size, where none was given too."""
        return self.step_size or FAST_STEP * self.epsilon


@base.recipe
class FastAtRecipe(PgdAtRecipe):
    """Fast-AT: cross-entropy at x + δ, δ from one step (Wong et al., Fast is better than free)."""

    name = "fast_at"
    Options = FastAtOptions


class TradesOptions(AdversarialTrainingOptions):
    """TRADES' own weight β, of the divergence: 1/λ in the paper."""

    beta: Annotated[float, Field(ge=0, description="β, weight of the predictions' change")] = 6.0


@base.recipe
class TradesRecipe(AdversarialRecipe):
    """TRADES: cross-entropy at x and β·KL between x and x + δ (Zhang et al., ICML 2019)."""

    name = "trades"
    Options = TradesOptions
    settings: TradesOptions

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of clean images, and how far the attack moves their predictions."""
        settings, units = self.settings, data.unit_images(images)
        with base.still_statistics(model):
            attacked = attacks.ascend_divergence(model, units, **self._ascent())
        clean = model(units)
        task = torch.nn.functional.cross_entropy(clean.float(), labels, label_smoothing=smoothing)
        moved = attacks.divergence(clean, model(attacked)).mean()
        self._terms.add(len(units), cross_entropy=task, divergence=moved)
        return task + settings.beta * moved
