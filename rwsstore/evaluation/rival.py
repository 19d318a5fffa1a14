"""The rival: BatchNorm re-estimated on the test stream (Schneider et al., NeurIPS 2020).

What a user of a network with BatchNorm would try instead of a patch: drop the running statistics
and normalize each batch by its own. It needs no knowledge of the corruption, but batches that
are large and of one kind.
"""

__all__ = ["RIVAL_BATCH_SIZES", "rival_accuracy", "with_batch_statistics"]

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy

RIVAL_BATCH_SIZES = (1, 8, 200)


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """Copy an unfolded network so that it normalizes every batch by the batch's own statistics.

    A batch of one image whose map is a single pixel has nothing to be compared with: each channel
    equals its mean, and only the layer's bias is left of it.

    Raises:
        ConfigError: the network has no BatchNorm.
    """
    copied = copy.deepcopy(model).eval()
    places = [
        (parent, name, child)
        for parent in copied.modules()
        for name, child in parent._modules.items()
        if isinstance(child, _BatchNorm)
    ]
    if not places:
        raise ConfigError(
            "this network has no BatchNorm to re-estimate: give the unfolded checkpoint, which "
            "rws train writes beside the folded one"
        )
    for parent, name, norm in places:
        setattr(parent, name, _BatchStatistics(norm))
    return copied


class _BatchStatistics(nn.Module):
    """A BatchNorm without running statistics."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > x.shape[1]:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        # torch refuses to normalize one value a channel; its deviation from its own mean is 0.
        zeros = torch.zeros_like(x)
        return zeros if self.bias is None else zeros + self.bias.view(1, -1, *[1] * (x.dim() - 2))


def rival_accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> float:
    """Accuracy in percent over a shuffled stream in batches of one size.

    Args:
        model: from `with_batch_statistics`.
        images: [N, 3, H, W].
        labels: int64 [N].
        batch_size: images that are normalized together.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return accuracy(model, images[order], labels[order], batch_size=batch_size)
