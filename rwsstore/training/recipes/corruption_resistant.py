"""Training against small adversarial corruptions of the parameters."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from rwsstore.patches import Kind
from rwsstore.probes.parameter_corruption.corruption import corruption_along
from rwsstore.training.recipes.options import CorruptionResistantOptions, RecipeOptions
from rwsstore.training.recipes.weight import (
    WeightRecipe,
    gradients_at,
    gradients_of,
    still_statistics,
    trained_parameters,
)


class CorruptionResistantRecipe(WeightRecipe):
    """L′(w) = (1 − λ₁)·L(w) + λ₁·L(w + â), optimised directly (Sun et al., AAAI 2021, equation 9).

    A step takes the gradient at w, goes to w + â, the gradient-based corruption, takes the
    gradient there, goes back, and mixes the two. λ₁ = 1 with p = 2 is a step of sharpness-aware
    minimization (Foret et al., ICLR 2021).
    """

    name = CorruptionResistantOptions.recipe
    kind: ClassVar[Kind] = "corruption_resistant"
    Options: ClassVar[type[RecipeOptions]] = CorruptionResistantOptions
    settings: CorruptionResistantOptions

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """One step of L′.

        Raises:
            TensorError: the gradient is NaN or infinite.
            ConfigError: n is larger than the number of trained parameters.
        """
        weight, parameters = self.settings.weight, trained_parameters(model)
        loss = partial(self.loss, model, images, labels, smoothing)
        here, gradients = gradients_of(parameters, loss)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        found = corruption_along(flat, self.settings.constraint)
        parts = torch.split(found, [gradient.numel() for gradient in gradients])
        corruption = [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)]
        with still_statistics(model):
            there, corrupted = gradients_at(parameters, corruption, loss)
        for parameter, at, beside in zip(parameters, gradients, corrupted, strict=True):
            parameter.grad = torch.lerp(at, beside, weight)
        return (1 - weight) * here + weight * there
