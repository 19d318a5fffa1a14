"""Corruptions of a model's parameters: random, gradient-based, and put on a copy.

Sun et al., AAAI 2021, definitions 3 and 4, algorithms 1 and 2. The corruptions are float64; w + a
is computed in float64 and rounded once, to the parameter's own dtype.
"""

__all__ = [
    "Corruption",
    "corrupted_copy",
    "corrupting",
    "first_order_change",
    "gradient_corruption",
    "random_corruption",
]

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rwsstore.analysis.parameter_corruption.constraint import Constraint, corruption_along
from rwsstore.errors import ConfigError, TensorError, UnknownNameError
from rwsstore.models import scratch_copy

Corruption = Mapping[str, Tensor]
"""a, by the names of parameters: what is added to each; float64 of its shape."""


def gradient_corruption(gradient: Mapping[str, Tensor], constraint: Constraint) -> Corruption:
    """Find the corruption in S that the loss rises most for, to first order (equation 7).

    Args:
        gradient: g by name, of the parameters that may be corrupted, as `loss_gradient` gives it.
        constraint: S; n counts over all of them together.

    Returns:
        â, with âᵀg = ε·‖h‖_{p/(p−1)}; zeros where g is all zeros.

    Raises:
        ConfigError: no tensor is given, or n is larger than k.
        TensorError: the gradient is not finite.
    """
    return _shaped(corruption_along(_flat(gradient), constraint), gradient)


def random_corruption(
    like: Mapping[str, Tensor], constraint: Constraint, *, seed: int
) -> Corruption:
    """Draw a corruption in S: the one that a normal vector asks for (equation 4).

    For p = 2 and n = k it is uniform on the sphere of radius ε (theorem 1).

    Args:
        like: the parameters that may be corrupted, or tensors of their names and shapes.
        constraint: S; n counts over all of them together.
        seed: of the normal vector; the same seed, names and shapes give the same corruption.

    Raises:
        ConfigError: no tensor is given, or n is larger than k.
    """
    generator = torch.Generator().manual_seed(seed)
    size = sum(tensor.numel() for tensor in like.values())
    if not size:
        raise ConfigError("no parameters were given to corrupt")
    direction = torch.randn(size, generator=generator, dtype=torch.float64)
    return _shaped(corruption_along(direction, constraint), like)


def first_order_change(corruption: Corruption, gradient: Mapping[str, Tensor]) -> float:
    """Compute aᵀg, the loss change to first order, in nats (equation 3).

    Args:
        corruption: a.
        gradient: g, of at least the same names.
    """
    return sum(
        float(torch.sum(part * gradient[name].to(part))) for name, part in corruption.items()
    )


def corrupted_copy(model: nn.Module, corruption: Corruption) -> nn.Module:
    """Make a model of w + a; the one given is left as it is.

    Returns:
        A copy in evaluation mode that requires no gradients.

    Raises:
        UnknownNameError: the model has no such parameter.
        TensorError: a part has another shape than its parameter, or is not finite.
    """
    scratch = scratch_copy(model)
    _add(_targets(scratch, corruption), corruption)
    return scratch


@contextmanager
def corrupting(scratch: nn.Module, corruption: Corruption) -> Iterator[nn.Module]:
    """Add a to a model's parameters inside the block, and put the very same bits back after.

    Args:
        scratch: changed in place inside the block, so better a copy (`scratch_copy`).
        corruption: a.

    Raises:
        UnknownNameError, TensorError: as `corrupted_copy`; nothing was changed.
    """
    targets = _targets(scratch, corruption)
    kept = {name: parameter.detach().clone() for name, parameter in targets.items()}
    try:
        _add(targets, corruption)
        yield scratch
    finally:
        with torch.no_grad():
            for name, parameter in targets.items():
                parameter.copy_(kept[name])


def _targets(model: nn.Module, corruption: Corruption) -> dict[str, Tensor]:
    own = dict(model.named_parameters())
    for name, part in corruption.items():
        if name not in own:
            raise UnknownNameError("parameter", name, own)
        if part.shape != own[name].shape or not bool(torch.isfinite(part).all()):
            raise TensorError(
                f"the corruption of {name} is {list(part.shape)}, or not finite; expected finite "
                f"numbers {list(own[name].shape)}"
            )
    return {name: own[name] for name in corruption}


def _add(targets: Mapping[str, Tensor], corruption: Corruption) -> None:
    with torch.no_grad():
        for name, parameter in targets.items():
            moved = parameter.cpu().double() + corruption[name].cpu().double()
            parameter.copy_(moved)


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    if not tensors:
        raise ConfigError("no parameters were given to corrupt")
    return torch.cat([tensor.detach().cpu().double().flatten() for tensor in tensors.values()])


def _shaped(vector: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = torch.split(vector, [tensor.numel() for tensor in like.values()])
    return {
        name: part.reshape(tensor.shape)
        for (name, tensor), part in zip(like.items(), parts, strict=True)
    }
