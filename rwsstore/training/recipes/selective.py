"""Training of those layers alone that filtering found robust or antifragile."""

__all__ = ["SelectiveOptions", "SelectiveRecipe"]

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator
from torch import nn

from rwsstore.analysis.filtering import (
    FilteringOptions,
    LayerScores,
    ScoringOptions,
    measure_curves,
    parameters_of,
    score_layers,
)
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation import Resampling
from rwsstore.patches import Kind
from rwsstore.training.recipes.weight import RecipeOptions, WeightRecipe

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


class SelectiveRecipe(WeightRecipe):
    """Each epoch updates the robust and the antifragile layers only (Pravin et al., 2023).

    The layers are scored on a sample of the training images, by default again every second epoch.
    That the mean of S2 over the three filters decides, and the scoring again, are our own choice.
    """

    name = "selective"
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
        images = train.limit(min(self.settings.images, len(train)), seed)
        curves = measure_curves(
            model, images.images, images.labels, self._measuring(), layers=self.settings.layers
        )
        scores = score_layers(curves, self._scoring())
        owned = parameters_of(model, curves.layers)
        chosen = [one.layer for one in scores if one.kind in self.settings.train]
        if not chosen:
            raise ConfigError(_nothing(scores, self.settings, epoch))
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

    def _measuring(self) -> FilteringOptions:
        settings = self.settings
        return FilteringOptions(
            epsilon=settings.attack_epsilon,
            filters=settings.filters,
            thresholds=settings.thresholds,
        )

    def _scoring(self) -> ScoringOptions:
        settings = self.settings
        return ScoringOptions(
            above_chance=settings.above_chance,
            tolerance=settings.tolerance,
            decides=settings.score,
            resampling=Resampling(resamples=0),
        )


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
