"""Training for flat surroundings of the weights, against flipped bits."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rwsstore.data import ImageSet
from rwsstore.errors import TensorError
from rwsstore.models import touched_layers
from rwsstore.patches import Kind
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes.options import HessianAwareOptions, RecipeOptions
from rwsstore.training.recipes.weight import WeightRecipe


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
    assert isinstance(diagonal, Tensor)  # noqa: S101  (one draw at least)
    if share < 1:
        diagonal = diagonal.topk(max(1, round(share * len(diagonal)))).values
    return diagonal.sum()


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    bits = torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8)
    return (2 * bits - 1).to(like)


_MEMORY = 0.9
"""Of the running mean of the trace, a step."""


class HessianAwareRecipe(WeightRecipe):
    """L(w) + λ·Tr(H), the trace by Hutchinson's estimator (arXiv:2504.01933).

    From the paper: the trace over the leading half of the spectrum, on the last few layers alone,
    added where an adaptive threshold says so. Not published, and so our own choice: the leading
    half is that of the diagonal's estimates, the threshold a multiple of their running mean, and
    every number in the options. The paper trains with RMSProp; the defaults here, one short epoch
    of SGD from a trained model, are our own too. More of it costs accuracy.
    """

    name = HessianAwareOptions.recipe
    kind: ClassVar[Kind] = "hessian_aware"
    Options: ClassVar[type[RecipeOptions]] = HessianAwareOptions
    defaults: ClassVar[TrainingConfig] = HessianAwareOptions.training
    settings: HessianAwareOptions

    def __init__(self, options: RecipeOptions | None = None) -> None:
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
        layers = touched_layers(model, trained)
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
            if self._counts(found):
                gradients = torch.autograd.grad(trace, watched, allow_unused=True)
                for parameter, gradient in zip(watched, gradients, strict=True):
                    if gradient is not None:
                        term = self.settings.strength * gradient
                        parameter.grad = term if parameter.grad is None else parameter.grad + term
        return value + self.settings.strength * found

    def _counts(self, trace: float) -> bool:
        """Whether a step's trace is above the threshold; the running mean learns of it."""
        if not abs(trace) < float("inf"):
            raise TensorError(f"the trace of the Hessian came out as {trace}: lower the strength")
        before = self._mean
        self._mean = trace if before is None else _MEMORY * before + (1 - _MEMORY) * trace
        return before is None or trace > self.settings.threshold * before
