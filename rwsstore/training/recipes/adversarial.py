"""Adversarial training: on images that are attacked anew in every step."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks import Pgd, ascend_divergence, ascend_loss, divergence
from rwsstore.attacks.search import plain_float32
from rwsstore.data import ImageSet, unit_images
from rwsstore.measure.accuracy import accuracy, correct_under, percent
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes.options import (
    AdversarialTrainingOptions,
    FastAtOptions,
    RecipeOptions,
    TradesOptions,
)
from rwsstore.training.recipes.weight import (
    Averages,
    ConfiguredRecipe,
    still_statistics,
)

_JUDGED_STEPS = 10


class AdversarialRecipe(ConfiguredRecipe):
    """What adversarial trainings share: seeded starts, two terms, and a judge under attack.

    The inner maximization sees the network as the step does, BatchNorm by its batch, but is not
    counted in the running statistics: our own choice.
    """

    Options: ClassVar[type[RecipeOptions]] = AdversarialTrainingOptions
    defaults: ClassVar[TrainingConfig] = AdversarialTrainingOptions.training
    settings: AdversarialTrainingOptions

    def __init__(self, options: RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._generator = torch.Generator().manual_seed(0)
        self._terms = Averages()

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:  # noqa: ARG002
        """Seed the random starts."""
        self._generator.manual_seed(seed)
        self._terms = Averages()

    def terms(self) -> dict[str, float]:
        """Means of the loss's parts."""
        return self._terms.means()

    def score(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
        """Accuracy under PGD-10 on as many of the images as the settings say, in percent."""
        settings = self.settings
        if settings.judged == 0:
            return accuracy(model, images, labels)
        count = min(settings.judged, len(images))
        rows = torch.arange(count) * len(images) // count  # evenly: sets may be sorted by class
        attack = Pgd(settings.epsilon, steps=_JUDGED_STEPS)
        with plain_float32():  # what only just fools the model in float32 may not do so in bfloat16
            return percent(correct_under(model, [attack], images[rows], labels[rows], seed=seed))

    def scored_on(self, images: int) -> str:
        """How many images, and the attack."""
        plain, settings = super().scored_on(images), self.settings
        if settings.judged == 0:
            return plain
        count = min(settings.judged, images)
        return f"{count:,} of {plain} under PGD-{_JUDGED_STEPS}, ε = {settings.epsilon:g}"

    @abstractmethod
    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """The outer minimization's loss, at images that are attacked here."""


class PgdAtRecipe(AdversarialRecipe):
    """PGD-AT: cross-entropy at x + δ, δ from PGD (Madry et al., ICLR 2018)."""

    name = AdversarialTrainingOptions.recipe

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of attacked images."""
        settings = self.settings
        with still_statistics(model):
            attacked = ascend_loss(
                model, unit_images(images), labels, settings.ball,
                step_size=settings.chosen_step_size, steps=settings.steps,
                generator=self._generator,
            )  # fmt: skip
        return super(AdversarialRecipe, self).loss(model, attacked, labels, smoothing)


class FastAtRecipe(PgdAtRecipe):
    """Fast-AT: cross-entropy at x + δ, δ from one step (Wong et al., Fast is better than free)."""

    name = FastAtOptions.recipe
    Options: ClassVar[type[RecipeOptions]] = FastAtOptions


class TradesRecipe(AdversarialRecipe):
    """TRADES: cross-entropy at x and β·KL between x and x + δ (Zhang et al., ICML 2019)."""

    name = TradesOptions.recipe
    Options: ClassVar[type[RecipeOptions]] = TradesOptions
    settings: TradesOptions

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of clean images, and how far the attack moves their predictions."""
        settings, units = self.settings, unit_images(images)
        with still_statistics(model):
            attacked = ascend_divergence(
                model, units, settings.ball,
                step_size=settings.chosen_step_size, steps=settings.steps,
                generator=self._generator,
            )  # fmt: skip
        clean = model(units)
        task = F.cross_entropy(clean.float(), labels, label_smoothing=smoothing)
        moved = divergence(clean, model(attacked)).mean()
        self._terms.add(len(units), cross_entropy=task, divergence=moved)
        return task + settings.beta * moved
