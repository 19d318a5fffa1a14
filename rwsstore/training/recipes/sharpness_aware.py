"""Sharpness-aware minimization: a baseline for the recipes that look for flat surroundings."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from rwsstore.training.recipes.options import RecipeOptions, SharpnessAwareOptions
from rwsstore.training.recipes.weight import (
    ConfiguredRecipe,
    gradients_at,
    gradients_of,
    still_statistics,
    trained_parameters,
)


class SharpnessAwareRecipe(ConfiguredRecipe):
    """SAM (Foret et al., ICLR 2021): the gradient at w + ρ·g/‖g‖₂ instead of at w."""

    name = SharpnessAwareOptions.recipe
    Options: ClassVar[type[RecipeOptions]] = SharpnessAwareOptions
    settings: SharpnessAwareOptions

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """One step of SAM."""
        parameters = trained_parameters(model)
        loss = partial(self.loss, model, images, labels, smoothing)
        _, gradients = gradients_of(parameters, loss)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.settings.rho / (norm + 1e-12)
        with still_statistics(model):
            value, found = gradients_at(parameters, [g * scale for g in gradients], loss)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        return value
