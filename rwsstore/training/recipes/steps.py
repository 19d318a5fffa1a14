"""Steps that look at the loss beside the weights, and leave no trace there."""

__all__ = [
    "evaluating",
    "gradients_at",
    "gradients_of",
    "still_statistics",
    "trained_parameters",
]

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
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
