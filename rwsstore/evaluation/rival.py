"""The rival: BatchNorm re-estimated on the test stream (Schneider et al., NeurIPS 2020).

What a user of a network with BatchNorm would try instead of a patch: drop the running statistics
and normalize each batch by its own. It needs no knowledge of the corruption, but batches that
are large and of one kind.
"""

__all__ = [
    "RIVAL_BATCH_SIZES",
    "MixedStream",
    "affine_parameters",
    "mixed_stream",
    "rival_accuracy",
    "shuffled",
    "with_batch_statistics",
]

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from rwsstore.corruptions import corrupt
from rwsstore.corruptions.registry import find_corruption
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


def affine_parameters(model: nn.Module) -> list[nn.Parameter]:
    """List the scales and shifts of a network from `with_batch_statistics`, each once."""
    norms = [module for module in model.modules() if isinstance(module, _BatchStatistics)]
    every = [parameter for norm in norms for parameter in norm.parameters()]
    return list({id(parameter): parameter for parameter in every}.values())


def shuffled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Put a test stream in the one random order that all rivals see it in."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order], labels[order]


def rival_accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> float:
    """Accuracy in percent over a shuffled stream in batches of one size.

    Args:
        model: from `with_batch_statistics`.
        images: [N, 3, H, W].
        labels: int64 [N].
        batch_size: images that are normalized together.
    """
    return accuracy(model, *shuffled(images, labels), batch_size=batch_size)


@dataclass(frozen=True, eq=False)
class MixedStream:
    """Images each of which has a corruption of its own.

    Attributes:
        images: uint8 [N, 3, H, W].
        corruptions: the names that were mixed.
        which: int64 [N], the place of each image's corruption in `corruptions`.
    """

    images: Tensor
    corruptions: tuple[str, ...]
    which: Tensor


def mixed_stream(
    images: Tensor, corruptions: Sequence[str], severity: float, *, seed: int
) -> MixedStream:
    """Give every image one of several corruptions, each to equally many as far as they go round.

    An image with a corruption is the same, to the bit, as in a set that has it throughout and the
    same seed.

    Args:
        images: uint8 [N, 3, H, W], clean.
        corruptions: names, none of them twice.
        severity: 1 to 5.
        seed: of the corruptions, and of which image gets which.

    Raises:
        UnknownNameError: no such corruption.
        ConfigError: none is named, or one twice.
    """
    names = tuple(corruptions)
    for name in names:
        find_corruption(name)
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"a mixed stream of {names}; expected names, none of them twice")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    which = torch.empty(len(images), dtype=torch.int64)
    which[order] = torch.arange(len(images)) % len(names)
    mixed = torch.empty_like(images)
    for place, name in enumerate(names):
        chosen = (which == place).nonzero().flatten()
        mixed[chosen] = corrupt(images[chosen], name, severity, seed=seed, indices=chosen)
    return MixedStream(mixed, names, which)
