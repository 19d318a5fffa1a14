"""Training that looks beside the weights: against corrupted parameters, curvature, sharp minima."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from rwsstore import models
from rwsstore.errors import TensorError
from rwsstore.faces import later
from rwsstore.probes import parameter_corruption
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes import base

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rwsstore.data import ImageSet
else:
    torch = later("torch")


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


def _set(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    # Inside one autocast block torch keeps the weights' bfloat16 copies, and would use old ones.
    torch.clear_autocast_cache()


class CorruptionResistantOptions(base.RecipeOptions):
    """Which corruption is trained against, and λ₁, the corrupted loss's share of the whole."""

    epsilon: Annotated[float, Field(gt=0, description="norm of the virtual corruption")] = 0.5
    p: Annotated[
        Annotated[float, Field(ge=1)] | Literal["inf"], Field(description="of the norm, inf too")
    ] = 2.0
    n: Annotated[base.Count | None, Field(description="parameters changed at most")] = None
    weight: Annotated[float, Field(gt=0, le=1, description="λ₁")] = 0.5

    @property
    def constraint(self) -> parameter_corruption.Constraint:
        """The set that the corruption is taken from."""
        norm = math.inf if self.p == "inf" else self.p
        return parameter_corruption.Constraint(self.epsilon, norm, self.n)


@base.recipe
class CorruptionResistantRecipe(base.WeightRecipe):
    """L′(w) = (1 − λ₁)·L(w) + λ₁·L(w + â), optimised directly (Sun et al., AAAI 2021, equation 9).

    A step takes the gradient at w, goes to w + â, the gradient-based corruption, takes the
    gradient there, goes back, and mixes the two. λ₁ = 1 with p = 2 is a step of sharpness-aware
    minimization (Foret et al., ICLR 2021).
    """

    name = "corruption_resistant"
    kind = "corruption_resistant"
    Options = CorruptionResistantOptions
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
        found = parameter_corruption.corruption_along(flat, self.settings.constraint)
        parts = torch.split(found, [gradient.numel() for gradient in gradients])
        corruption = [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)]
        with base.still_statistics(model):
            there, corrupted = gradients_at(parameters, corruption, loss)
        for parameter, at, beside in zip(parameters, gradients, corrupted, strict=True):
            parameter.grad = torch.lerp(at, beside, weight)
        return (1 - weight) * here + weight * there


class SharpnessAwareOptions(base.RecipeOptions):
    """How far beside the weights the gradient is taken."""

    rho: Annotated[float, Field(gt=0, description="ρ, how far beside the weights")] = 0.05


@base.recipe
class SharpnessAwareRecipe(base.ConfiguredRecipe):
    """SAM (Foret et al., ICLR 2021): the gradient at w + ρ·g/‖g‖₂ instead of at w."""

    name = "sharpness_aware"
    Options = SharpnessAwareOptions
    settings: SharpnessAwareOptions

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """One step of SAM."""
        parameters = trained_parameters(model)
        loss = partial(self.loss, model, images, labels, smoothing)
        _, gradients = gradients_of(parameters, loss)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.settings.rho / (norm + 1e-12)
        with base.still_statistics(model):
            value, found = gradients_at(parameters, [g * scale for g in gradients], loss)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        return value


def leading_trace(
    loss: Tensor,
    parameters: Sequence[Tensor],
    *,
    share: float = 1.0,
    draws: int = 1,
    generator: torch.Generator,
) -> Tensor:
    """Estimate the sum of the largest entries of the Hessian's diagonal, differentiably.

    Hutchinson's estimator (Hutchinson, 1990; for the diagonal Bekas, Kokiopoulou and Saad, 2007):
    with v of independent signs, E[v ⊙ Hv] is the diagonal of H, and its sum the trace. Each draw
    is one product Hv by differentiating twice. Where `share` is below 1, the largest entries of
    the mean over the draws are summed: with few draws that leans upwards.

    Args:
        loss: a scalar with its graph.
        parameters: with respect to which H is taken.
        share: of the entries that count, above 0 and at most 1.
        draws: v's.
        generator: of the signs.

    Returns:
        A scalar that may be differentiated once more.
    """
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    reached = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    total: Tensor | float = 0.0
    for _ in range(draws):
        signs = [_signs(parameter, generator) for parameter, _ in reached]
        products = torch.autograd.grad(
            [gradient for _, gradient in reached],
            [parameter for parameter, _ in reached],
            grad_outputs=signs,
            create_graph=True,
            materialize_grads=True,
        )
        parts = [(sign * hv).flatten() for sign, hv in zip(signs, products, strict=True)]
        total = total + torch.cat(parts)
    diagonal = total / draws
    assert isinstance(diagonal, torch.Tensor)  # noqa: S101  (one draw at least)
    if share < 1:
        diagonal = diagonal.topk(max(1, round(share * len(diagonal)))).values
    return diagonal.sum()


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    bits = torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8)
    return (2 * bits - 1).to(like)


class HessianAwareOptions(base.RecipeOptions):
    """How much curvature costs, and where.

    Attributes:
        trace_layers: the term looks at so many of the deepest layers that train, or at all where
            they are fewer; None: at all.
        share: of the diagonal's entries; 1: the whole trace.
        threshold: the term is added where the trace is above so many times its running mean; 0:
            always.
    """

    strength: Annotated[float, Field(ge=0, description="λ, weight of the trace")] = 0.001
    trace_layers: Annotated[base.Count | None, Field(description="deepest layers looked at")] = 9
    share: Annotated[float, Field(gt=0, le=1, description="largest entries that count")] = 0.5
    draws: Annotated[int, Field(ge=1, le=100, description="of the estimator, a step")] = 1
    threshold: Annotated[float, Field(ge=0, description="times the running mean")] = 0.5
    images: Annotated[int, Field(ge=1, description="of a batch, at most")] = 32


_MEMORY = 0.9
"""Of the running mean of the trace, a step."""


@base.recipe
class HessianAwareRecipe(base.WeightRecipe):
    """L(w) + λ·Tr(H), the trace by Hutchinson's estimator (arXiv:2504.01933).

    From the paper: the trace over the leading half of the spectrum, on the last few layers alone,
    added where an adaptive threshold says so. Not published, and so our own choice: the leading
    half is that of the diagonal's estimates, the threshold a multiple of their running mean, and
    every number in the options. The paper trains with RMSProp; the defaults here, one short epoch
    of SGD from a trained model, are our own too. More of it costs accuracy.
    """

    name = "hessian_aware"
    kind = "hessian_aware"
    Options = HessianAwareOptions
    defaults = TrainingConfig(epochs=1, learning_rate=0.0075, clip_norm=1.0)
    settings: HessianAwareOptions

    def __init__(self, options: base.RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._generator = torch.Generator().manual_seed(0)
        self._mean: float | None = None
        self._watched: tuple[str, ...] = ()

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:  # noqa: ARG002
        """Seed the draws, and find the parameters that the term looks at."""
        if epoch == 1:  # another run may have left one
            self._mean = None
        self._generator.manual_seed(seed)
        trained = self.trainable(model)
        layers = models.touched_layers(model, trained)
        deepest = layers[-(self.settings.trace_layers or len(layers)) :]
        names = {name for layer in deepest for name in layer.parameters}
        self._watched = tuple(sorted(names & trained))

    def state(self) -> dict[str, Any]:
        """The running mean of the trace."""
        return {"mean_trace": self._mean}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the running mean."""
        self._mean = state["mean_trace"]

    def descend(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> float:
        """One step of the loss, and of the trace where it is above the threshold.

        Raises:
            TensorError: the trace is NaN or infinite.
        """
        value = super().descend(model, images, labels, smoothing)
        some = slice(self.settings.images)
        named = dict(model.named_parameters())
        watched = [named[name] for name in self._watched]
        # Second derivatives in bfloat16 are noise.
        with torch.autocast(images.device.type, enabled=False):
            loss = self.loss(model, images[some], labels[some], smoothing)
            trace = leading_trace(
                loss, watched, share=self.settings.share, draws=self.settings.draws,
                generator=self._generator,
            )  # fmt: skip
            found = float(trace.detach())
            if not abs(found) < float("inf"):
                raise TensorError(
                    f"the trace of the Hessian came out as {found}: lower the strength"
                )
            before = self._mean
            self._mean = found if before is None else _MEMORY * before + (1 - _MEMORY) * found
            if before is None or found > self.settings.threshold * before:
                gradients = torch.autograd.grad(trace, watched, allow_unused=True)
                for parameter, gradient in zip(watched, gradients, strict=True):
                    if gradient is not None:
                        term = self.settings.strength * gradient
                        parameter.grad = term if parameter.grad is None else parameter.grad + term
        return value + self.settings.strength * found
