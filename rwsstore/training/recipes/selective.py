"""Training of those layers alone that filtering found robust or antifragile."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.measure import Resampling
from rwsstore.patches import Kind
from rwsstore.probes.filtering import (
    FilteringOptions,
    LayerScores,
    ScoringOptions,
    measure_curves,
    parameters_of,
    score_layers,
)
from rwsstore.training.recipes.options import RecipeOptions, SelectiveOptions
from rwsstore.training.recipes.weight import WeightRecipe


class SelectiveRecipe(WeightRecipe):
    """Each epoch updates the robust and the antifragile layers only (Pravin et al., 2023).

    The layers are scored on a sample of the training images, by default again every second epoch.
    That the mean of S2 over the three filters decides, and the scoring again, are our own choice.
    """

    name = SelectiveOptions.recipe
    kind: ClassVar[Kind] = "selective"
    Options: ClassVar[type[RecipeOptions]] = SelectiveOptions
    settings: SelectiveOptions

    def __init__(self, options: RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._active: frozenset[str] | None = None

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:
        """Score the layers, where it is time to, and choose.

        Raises:
            ConfigError: no layer is of the kinds that train.
            DataError: labels that do not fit the model.
        """
        if self._active is not None and (epoch - 1) % self.settings.every:
            return
        settings = self.settings
        images = train.limit(min(settings.images, len(train)), seed)
        measuring = FilteringOptions(
            epsilon=settings.attack_epsilon,
            filters=settings.filters,
            thresholds=settings.thresholds,
        )
        scoring = ScoringOptions(
            above_chance=settings.above_chance,
            tolerance=settings.tolerance,
            decides=settings.score,
            resampling=Resampling(resamples=0),
        )
        curves = measure_curves(
            model, images.images, images.labels, measuring, layers=settings.layers
        )
        scores = score_layers(curves, scoring)
        owned = parameters_of(model, curves.layers)
        chosen = [one.layer for one in scores if one.kind in settings.train]
        if not chosen:
            raise ConfigError(_nothing(scores, settings, epoch))
        self._active = frozenset(name for layer in chosen for name in owned[layer])

    def active(self, model: nn.Module) -> frozenset[str]:
        """Weight, bias and following normalization of the layers that were chosen last."""
        trainable = self.trainable(model)
        return trainable if self._active is None else trainable & self._active

    def state(self) -> dict[str, Any]:
        """The choice, for the epochs until the next."""
        return {} if self._active is None else {"active": sorted(self._active)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the choice up again."""
        self._active = frozenset(state["active"]) if "active" in state else None


def _nothing(scores: tuple[LayerScores, ...], settings: SelectiveOptions, epoch: int) -> str:
    figures = [one.mean[settings.score] for one in scores]
    values = [figure.value for figure in figures if figure is not None]
    found = "none of them is defined: the network is no better than chance on these images"
    if values:
        found = f"they run from {min(values):.2f} to {max(values):.2f}"
    return (
        f"recipe selective has no {' or '.join(settings.train)} layer to train in epoch {epoch}: "
        f"of {settings.score.upper()} over {', '.join(settings.filters)}, {found}, and the "
        f"tolerance is {settings.tolerance:g}. Take another tolerance, score or attack_epsilon"
    )
