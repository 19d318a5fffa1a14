"""The gradient of the loss over a whole data set (algorithm 2, step 1)."""

__all__ = ["LossGradient", "loss_gradient"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.analysis.parameter_corruption.sample import Sample
from rwsstore.analysis.parameter_corruption.selection import all_parameters, named_group
from rwsstore.errors import ConfigError, TensorError
from rwsstore.models import scratch_copy
from rwsstore.progress import SILENT, Reporter


@dataclass(frozen=True, eq=False)
class LossGradient:
    """∂L(w; D)/∂w.

    Attributes:
        loss: L, the mean cross-entropy over D, in nats.
        tensors: by the parameters' names; float64 of their shapes, on the CPU.
    """

    loss: float
    tensors: Mapping[str, Tensor]


def loss_gradient(
    model: nn.Module,
    sample: Sample,
    parameters: Sequence[str] | None = None,
    *,
    progress: Reporter = SILENT,
) -> LossGradient:
    """Compute the gradient of the mean cross-entropy over a sample, in evaluation mode.

    Each batch is differentiated in the model's dtype; batches are summed in float64, so the
    batch size matters no more than rounding. The model is left as it is: a copy is used.

    Args:
        model: in evaluation mode.
        sample: D.
        parameters: names; None: all of floating point.
        progress: where to report; a step a batch.

    Raises:
        ConfigError: no parameter is named, or the loss does not depend on any that is.
        UnknownNameError: a name is not one of the model's.
        TensorError: the loss or its gradient is not finite; the first parameter is named.
    """
    group = all_parameters(model) if parameters is None else named_group(model, parameters)
    total = 0.0
    # Whoever calls may have switched gradients off.
    with torch.inference_mode(False), torch.enable_grad():
        scratch = scratch_copy(model)
        own = dict(scratch.named_parameters())
        chosen = {name: own[name].requires_grad_(True) for name in group.parameters}
        sums = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in chosen.items()}
        with progress.task("gradient", total=-(-len(sample) // sample.batch_size)) as task:
            for images, labels in sample.batches(scratch):
                loss = F.cross_entropy(scratch(images).double(), labels, reduction="sum")
                for name, part in _differentiate(loss, chosen).items():
                    sums[name] += part
                total += float(loss.detach())
                task.advance()
    found = {name: tensor / len(sample) for name, tensor in sums.items()}
    for name, tensor in found.items():
        _check(name, tensor)
    return LossGradient(total / len(sample), found)


def _differentiate(loss: Tensor, chosen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not loss.requires_grad:
        raise ConfigError(
            f"the loss does not depend on {', '.join(list(chosen)[:3])}: they are not used in the "
            "forward pass, or it runs without gradients"
        )
    parts = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
    return {
        name: part.cpu().double()
        for name, part in zip(chosen, parts, strict=True)
        if part is not None
    }


def _check(name: str, tensor: Tensor) -> None:
    bad = int(tensor.numel() - tensor.isfinite().sum())
    if bad:
        raise TensorError(
            f"the gradient of {name} is NaN or infinite in {bad} of {tensor.numel()} places, so "
            "it points nowhere; the loss of this model on these images is not differentiable"
        )
