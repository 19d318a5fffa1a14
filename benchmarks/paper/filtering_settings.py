"""Parameters of the study of synaptic filtering."""

__all__ = ["FilteringSettings"]

from typing import Annotated, Self

from pydantic import Field, model_validator

from rwsstore.config import Frozen
from rwsstore.training import SelectiveOptions, TrainingConfig


class FilteringSettings(Frozen, allow_inf_nan=False):
    """Filtering, selective retraining, and the claims about data sets, networks and BatchNorm.

    Attributes:
        images: test images of every map, as many of each class.
        thresholds: of the bundled model's map; the others have every second of them.
        epsilon: ε of FGSM, here and in the measuring of what was retrained.
        recipe: of selective retraining; its ε is `epsilon`, its filters are those of the maps.
        training: of all retraining, from the clean model.
        seeds: runs of selective and of plain retraining.
        attack_images: test images that retrained models are attacked on, at most.
        digits: training of the bundled model's network on digits.
        half: the same on half of the classes.
        resamples: of the images, for the intervals.
    """

    images: Annotated[int, Field(ge=1)] = 80
    thresholds: Annotated[int, Field(ge=5, le=1001)] = 25
    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.015
    recipe: SelectiveOptions = SelectiveOptions(images=60)
    training: TrainingConfig = TrainingConfig(epochs=1, learning_rate=0.0075, clip_norm=1.0)
    seeds: Annotated[int, Field(ge=1, le=20)] = 1
    attack_images: Annotated[int, Field(ge=1)] = 1000
    digits: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.05, flip=False)
    half: TrainingConfig = TrainingConfig(epochs=4, learning_rate=0.1)
    resamples: Annotated[int, Field(ge=40)] = 1000

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if self.thresholds % 4 != 1:
            raise ValueError("thresholds must be 1 above a multiple of 4, to be halved")
        if "h1" not in self.recipe.filters:
            raise ValueError("h1 must be among the filters")
        if self.recipe.attack_epsilon != self.epsilon:
            raise ValueError("recipe.attack_epsilon must be epsilon")
        return self
