"""What every study of a model needs: to see that it can be studied, and to leave it as it was."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError
from rwsstore.models.graph import is_batchnorm


def check_evaluating(model: nn.Module, images: Tensor) -> int:
    """See that a model is in evaluation mode and answers there; return its number of classes.

    Called once, with the first of the images: float [B, 3, H, W] in [0, 1].

    Raises:
        ConfigError: a module is in training mode, a BatchNorm has no running statistics (its
            answers depend on the batch), the forward pass fails, or gives no logits [B, C].
        TensorError: the logits are NaN or infinite.
    """
    for name, module in model.named_modules():
        where = f"{type(module).__name__} {name!r}" if name else type(module).__name__
        if module.training:
            raise ConfigError(f"{where} is in training mode: call model.eval() first")
        if is_batchnorm(module) and module.running_mean is None:
            raise ConfigError(
                f"{where} has no running statistics, so that a prediction depends on its batch: "
                "this model cannot be run in evaluation mode"
            )
    try:
        with torch.no_grad():
            logits = model(images[:1])
    except Exception as error:  # a user's forward may raise anything
        raise ConfigError(
            f"{type(model).__name__} cannot be run in evaluation mode on a float image "
            f"{list(images.shape[1:])} in [0, 1] ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ConfigError(f"{type(model).__name__} gives {found}; expected logits [B, C]")
    if not bool(torch.isfinite(logits).all()):
        raise TensorError(f"{type(model).__name__} gives logits that are NaN or infinite")
    return int(logits.shape[1])


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Let no gradient reach a model's parameters inside the block.

    Inside, parameters require no gradient, so that differentiating with respect to images costs
    nothing for them and leaves their `grad` alone; afterwards each has its `requires_grad` again.
    """
    kept = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in kept:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, wanted in kept:
            parameter.requires_grad_(wanted)


def scratch_copy(model: nn.Module) -> nn.Module:
    """Copy a model, in evaluation mode, to try things on; no parameter requires a gradient.

    Raises:
        ConfigError: the model cannot be copied.
    """
    try:
        return copy.deepcopy(model).eval().requires_grad_(False)
    except Exception as error:  # a module may hold what cannot be copied
        raise ConfigError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}), and "
            "nothing is tried on the original"
        ) from error
