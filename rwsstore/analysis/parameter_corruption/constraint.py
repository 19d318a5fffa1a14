"""Small corruptions of parameters, in closed form.

Sun et al., "Exploring the Vulnerability of Deep Neural Networks: A Study of Parameter Corruption",
AAAI 2021, definitions 1, 3 and 4, equations 4 and 7.
"""

__all__ = ["Constraint", "corruption_along"]

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.errors import ConfigError, TensorError


@dataclass(frozen=True)
class Constraint:
    """The set S = {a : ‖a‖_p = ε, at most n entries of a differ from 0}.

    Attributes:
        epsilon: ε, above 0.
        p: of the norm, 1 to infinity (`math.inf`).
        n: how many parameters are corrupted at most; None: all of them.

    Raises:
        ConfigError: one is out of its range.
    """

    epsilon: float
    p: float = 2.0
    n: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise ConfigError(f"ε is {self.epsilon}; expected a finite number above 0")
        if not self.p >= 1:
            raise ConfigError(f"p is {self.p}; expected 1 or more, or inf")
        if self.n is not None and self.n < 1:
            raise ConfigError(f"n is {self.n}; expected 1 or more parameters")


def corruption_along(direction: Tensor, constraint: Constraint) -> Tensor:
    """Find the corruption a in S that maximises aᵀv.

    a = ε·sgn(h)·|h|^{1/(p−1)} / ‖|h|^{1/(p−1)}‖_p with h = top_n(v); for p = ∞ this is ε·sgn(h),
    and for p = 1 all of ε lies on the largest entry, the first among equals. (The denominators
    printed in the paper do not give a the norm ε; this one does.)

    Args:
        direction: v: the gradient, or a random normal vector; float [k].
        constraint: S.

    Returns:
        a, of v's shape and dtype; zeros where v is all zeros. aᵀv = ε·‖h‖_{p/(p−1)}.

    Raises:
        TensorError: v is not a vector, or not finite.
        ConfigError: n is larger than k.
    """
    if direction.dim() != 1 or not bool(torch.isfinite(direction).all()):
        raise TensorError(
            f"the direction is {list(direction.shape)}, or not finite; expected finite numbers [k]"
        )
    kept = _largest(direction, constraint.n)
    size = kept.abs().double()
    top = size.max() if len(size) else size.sum()
    if float(top) == 0.0:
        return torch.zeros_like(direction)
    if constraint.p == math.inf:
        return kept.sign() * constraint.epsilon
    if constraint.p == 1:
        shape = torch.zeros_like(size)
        shape[size.argmax()] = 1.0
    else:
        # Divided by the largest entry first, so that a large power neither over- nor underflows.
        shape = (size / top) ** (1 / (constraint.p - 1))
    length = shape.norm(constraint.p)
    scale: Tensor = constraint.epsilon / length
    return (kept.sign() * (shape * scale)).to(direction)


def _largest(direction: Tensor, n: int | None) -> Tensor:
    """top_n: the n entries of the largest magnitude, the others set to 0."""
    if n is None or n == len(direction):
        return direction
    if n > len(direction):
        raise ConfigError(f"n is {n}; only {len(direction)} parameters were chosen")
    kept = direction.abs().topk(n).indices
    return torch.zeros_like(direction).index_copy(0, kept, direction[kept])
