"""The trace of a Hessian, estimated without ever building it."""

__all__ = ["leading_trace"]

from collections.abc import Sequence

import torch
from torch import Tensor


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
