"""The rival: BatchNorm re-estimated on the test stream (Schneider et al., NeurIPS 2020).

What a user of a network with BatchNorm would try instead of a patch: drop the running statistics
and normalize each batch by its own. It needs no knowledge of the corruption, but batches that
are large and of one kind.
"""

__all__ = ["RIVAL_BATCH_SIZES", "rival_accuracy", "with_batch_statistics"]

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy

RIVAL_BATCH_SIZES = (1, 8, 200)


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """Copy an unfolded network so that it normalizes every batch by the batch's own statistics.

    Raises:
        ConfigError: the network has no BatchNorm.
    """
    copied = copy.deepcopy(model).eval()
    norms = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise ConfigError(
            "this network has no BatchNorm to re-estimate: give the unfolded checkpoint, which "
            "rws train writes beside the folded one"
        )
    for norm in norms:
        # Without running statistics BatchNorm uses the batch's, in evaluation mode too.
        norm.running_mean = norm.running_var = None
        norm.track_running_stats = False
    return copied


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
