"""Sharpness-aware minimization: a baseline for the recipes that look for flat surroundings."""

__all__ = ["SharpnessAwareRecipe"]

from functools import partial

import torch
from torch import Tensor, nn

from rwsstore.training.recipes.clean import CleanRecipe
from rwsstore.training.recipes.steps import (
    gradients_at,
    gradients_of,
    still_statistics,
    trained_parameters,
)


class SharpnessAwareRecipe(CleanRecipe):
    """SAM (Foret et al., ICLR 2021): the gradient at w + ρ·g/‖g‖₂ instead of at w.

    Args:
        rho: ρ, above 0.
    """

    name = "sharpness_aware"

    def __init__(self, rho: float = 0.05) -> None:
        self.rho = rho

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """One step of SAM."""
        parameters = trained_parameters(model)
        loss = partial(self.loss, model, images, labels, smoothing)
        _, gradients = gradients_of(parameters, loss)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.rho / (norm + 1e-12)
        with still_statistics(model):
            value, found = gradients_at(parameters, [g * scale for g in gradients], loss)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        return value
