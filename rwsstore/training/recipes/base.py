"""What a training recipe is: a plug for the one training loop; and all of them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import Field

from rwsstore import measure, models
from rwsstore.config import Frozen, validated
from rwsstore.errors import ConfigError
from rwsstore.faces import later
from rwsstore.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rwsstore.data import ImageSet
    from rwsstore.patches import Kind
else:
    torch = later("torch")


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class Recipe(ABC):
    """What distinguishes one kind of training from another.

    The loop asks a recipe which parameters train, what the network is shown, and how a step goes
    down; it does all the rest.

    Attributes:
        name: in the registry.
        freeze_batchnorm: keep running statistics as they are (BatchNorm in evaluation mode).
    """

    name: str
    freeze_batchnorm = False

    def options(self) -> dict[str, Any]:
        """What defines the recipe, by name: its public attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that train in this run; all by default."""
        return frozenset(name for name, _ in model.named_parameters())

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:  # noqa: B027  (most have nothing to do)
        """Get ready for an epoch: measure what its steps depend on.

        Args:
            model: as the last epoch left it, in evaluation mode; to be left as it is.
            train: the images to train on.
            epoch: counted from 1.
            seed: of whatever is drawn.
        """

    def begin_step(self, model: nn.Module, step: int, seed: int) -> bool:  # noqa: ARG002
        """Get ready for a step, where something is due between epochs.

        Args:
            model: as it trains, in training mode; to be left as it is.
            step: of the whole run, counted from 0.
            seed: of whatever is drawn; this step's own.

        Returns:
            Whether `active` has changed.
        """
        return False

    def active(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that train in this epoch; by default all that are trainable."""
        return self.trainable(model)

    def state(self) -> dict[str, Any]:
        """What later epochs depend on besides the weights, as JSON values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027  (most have no state)
        """Take up what `state` gave, in a run that goes on."""

    def terms(self) -> dict[str, float]:
        """What the loss is made of, by name: means over the epoch; nothing by default."""
        return {}

    def remarks(self) -> tuple[str, ...]:
        """What one wants to know of the run so far besides loss and accuracy; a line each."""
        return ()

    def score(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:  # noqa: ARG002
        """What the best epoch is chosen by, in percent; accuracy by default.

        Args:
            model: in evaluation mode.
            images: the validation images as `show` made them.
            labels: int64 [N].
            seed: of whatever is drawn, the same in every epoch.
        """
        return measure.accuracy(model, images, labels)

    def scored_on(self, images: int) -> str:
        """Say what `score` is measured on, of so many validation images; for people."""
        return f"{images:,} validation images"

    @abstractmethod
    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:
        """Make of clean images what the network is shown, before crop and flip.

        Args:
            images: uint8 [B, 3, H, W].
            indices: int64 [B], of the images in their set.
            seed: of this epoch, or of the validation.

        Returns:
            uint8 [B, 3, H, W].
        """

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """The number to be minimised; cross-entropy by default.

        Args:
            model: the network in training mode.
            images: what `show` made, cropped and flipped.
            labels: int64 [B].
            smoothing: share of the target spread over all classes.
        """
        logits = model(images)
        return torch.nn.functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """Leave a step's gradient on the parameters, and say what the loss was.

        Recipes that go down along anything but the gradient of `loss` write their own. The model
        comes without gradients.
        """
        loss = self.loss(model, images, labels, smoothing)
        with torch.autocast(loss.device.type, enabled=False):  # it is for forward passes alone
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


FAILING_WEIGHTS = TrainingConfig(epochs=4, learning_rate=0.01, clip_norm=1.0)
"""What suits a clean model that is to bear failing weights."""


class RecipeOptions(Frozen, allow_inf_nan=False):
    """What all recipes with settings take.

    Attributes:
        layers: names of the layers that train, as `ordered_layers` has them; None: all.
    """

    recipe: ClassVar[str]
    training: ClassVar[TrainingConfig] = TrainingConfig()

    layers: Annotated[
        tuple[str, ...] | None, Field(min_length=1, description="layers that train")
    ] = None


class ConfiguredRecipe(Recipe):
    """A recipe with settings of its own, on clean images.

    Args:
        options: of the recipe's own class `Options`.

    Attributes:
        defaults: the training that suits it.
        settings: the options.
    """

    Options: ClassVar[type[RecipeOptions]] = RecipeOptions
    defaults: ClassVar[TrainingConfig] = TrainingConfig()

    def __init__(self, options: RecipeOptions | None = None) -> None:
        chosen = self.Options() if options is None else options
        if type(chosen) is not self.Options:
            raise ConfigError(
                f"recipe {self.name!r} takes {self.Options.__name__}, not {type(chosen).__name__}"
            )
        self.settings = chosen

    @classmethod
    def configured(cls, settings: Mapping[str, Any]) -> Self:
        """Make the recipe from settings by name.

        Raises:
            ConfigError: an unknown setting, or a value out of its range.
        """
        return cls(validated(cls.Options, dict(settings), what=f"recipe {cls.name}"))

    def options(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return self.settings.model_dump(mode="json")

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """The parameters of the chosen layers, or all.

        Raises:
            ConfigError: a layer that the model does not have.
        """
        if self.settings.layers is None:
            return super().trainable(model)
        chosen = models.named_layers(model, self.settings.layers)
        return frozenset(name for layer in chosen for name in layer.parameters)

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """The images as they are."""
        return images


class WeightRecipe(ConfiguredRecipe):
    """Training of the clean model against failing weights, or adversaries, on clean images.

    Attributes:
        kind: of the patch that its delta becomes.
    """

    kind: ClassVar[Kind]
    defaults: ClassVar[TrainingConfig] = FAILING_WEIGHTS
    freeze_batchnorm = True


_RECIPES: dict[str, type[Recipe]] = {}
_CONFIGURED: dict[str, type[ConfiguredRecipe]] = {}
_WEIGHT: dict[str, type[WeightRecipe]] = {}

RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(_RECIPES)
"""Recipe classes by name."""

CONFIGURED_RECIPES: Mapping[str, type[ConfiguredRecipe]] = MappingProxyType(_CONFIGURED)
"""Recipes with settings by name."""

WEIGHT_RECIPES: Mapping[str, type[WeightRecipe]] = MappingProxyType(_WEIGHT)
"""Recipes whose difference to the clean model becomes a patch, by name."""

_Declared = TypeVar("_Declared", bound=Recipe)


def recipe(declared: type[_Declared]) -> type[_Declared]:
    """Declare a class as the recipe of its `name`.

    Raises:
        ConfigError: there is one of that name.
    """
    if declared.name in RECIPES:
        raise ConfigError(f"there is a recipe {declared.name!r} already; name it otherwise")
    _RECIPES[declared.name] = declared
    if issubclass(declared, ConfiguredRecipe):
        _CONFIGURED[declared.name] = declared
    if issubclass(declared, WeightRecipe):
        _WEIGHT[declared.name] = declared
    # Listed in this order: without settings, for patches, others.
    for name in [name for name in _CONFIGURED if name not in _WEIGHT]:
        _CONFIGURED[name] = _CONFIGURED.pop(name)
    for name in _CONFIGURED:
        _RECIPES[name] = _RECIPES.pop(name)
    return declared


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm from counting the batch a second time; it normalizes as before."""
    from rwsstore.models.graph import is_batchnorm

    counting = [
        module for module in model.modules() if is_batchnorm(module) and module.track_running_stats
    ]
    for norm in counting:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in counting:
            norm.track_running_stats = True
