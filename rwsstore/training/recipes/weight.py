"""Recipes with settings, and steps that look at the loss beside the weights and leave no trace."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from rwsstore.config import validated
from rwsstore.errors import ConfigError
from rwsstore.models import named_layers
from rwsstore.models.graph import is_batchnorm
from rwsstore.patches import Kind
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes.base import Recipe
from rwsstore.training.recipes.options import FAILING_WEIGHTS, RecipeOptions


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


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that this epoch updates."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients_of(
    parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor]
) -> tuple[float, tuple[Tensor, ...]]:
    """Loss and gradient at the weights as they are; zeros where the loss does not depend on one."""
    value = loss()
    with torch.autocast(value.device.type, enabled=False):  # it is for forward passes alone
        found = torch.autograd.grad(value, parameters, allow_unused=True)
    gradients = (
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    )
    return float(value.detach()), tuple(gradients)


def gradients_at(
    parameters: Sequence[nn.Parameter], offsets: Sequence[Tensor], loss: Callable[[], Tensor]
) -> tuple[float, tuple[Tensor, ...]]:
    """Loss and gradient at w + a; the weights are put back to the bit.

    Args:
        parameters: w.
        offsets: a, of the same shapes.
        loss: evaluates it at the weights as they are.
    """
    kept = [parameter.detach().clone() for parameter in parameters]
    moved = [before + offset for before, offset in zip(kept, offsets, strict=True)]
    try:
        _set(parameters, moved)
        return gradients_of(parameters, loss)
    finally:
        _set(parameters, kept)


@torch.no_grad()
def _set(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
    # Inside one autocast block torch keeps the weights' bfloat16 copies, and would use old ones.
    torch.clear_autocast_cache()


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm from counting the batch a second time; it normalizes as before."""
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


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode inside the block; afterwards each module is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


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
        chosen = named_layers(model, self.settings.layers)
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
