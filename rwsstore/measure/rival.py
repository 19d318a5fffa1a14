"""What a user would try instead of a patch: BatchNorm re-estimated on the test stream, and TENT.

Plain (Schneider et al., NeurIPS 2020): drop the running statistics and normalize each batch by its
own. It needs no knowledge of the corruption, but batches that are large and of one kind.

TENT (test-time entropy minimization, Wang et al., ICLR 2021) does that too, and adapts BatchNorm's
scales and shifts while the stream goes by: one gradient step a batch on the mean entropy of its
predictions (the paper's equation 1). A batch is predicted before the step that it causes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from rwsstore.config import Frozen
from rwsstore.corruptions import corrupt
from rwsstore.corruptions.registry import find_corruption
from rwsstore.errors import ConfigError, TensorError
from rwsstore.measure.accuracy import accuracy

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
    """Accuracy in percent of a model from `with_batch_statistics` over a shuffled stream."""
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


TENT_BATCH_SIZE = 200
"""Images a batch for which the paper's learning rate on CIFAR is made."""


class TentOptions(Frozen, allow_inf_nan=False):
    """How TENT adapts; the defaults are its authors' for CIFAR-10-C at batches of 200.

    Attributes:
        optimizer: "adam", or "sgd" with momentum 0.9 (the paper's for ImageNet).
        learning_rate: of each step.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3


class Tent:
    """A network that adapts to the stream of batches that it is called with.

    The network stays in evaluation mode but for its BatchNorm, so that dropout, where there is
    any, stays off.

    Args:
        model: an unfolded network; a copy of it adapts.
        options: optimizer and learning rate.

    Raises:
        ConfigError: the network has no BatchNorm, or none with scales and shifts.
    """

    def __init__(self, model: nn.Module, options: TentOptions | None = None) -> None:
        self.options = options or TentOptions()
        self._model = with_batch_statistics(model).requires_grad_(False)
        self._adapted = affine_parameters(self._model)
        if not self._adapted:
            raise ConfigError(
                "this network's BatchNorm has no scales and shifts (affine=False): TENT has "
                "nothing to adapt"
            )
        self._source = [parameter.detach().clone() for parameter in self._adapted]
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the scales and shifts of the network given, a new optimizer."""
        with torch.no_grad():
            for parameter, source in zip(self._adapted, self._source, strict=True):
                parameter.copy_(source)
                parameter.requires_grad_(True)
        rate = self.options.learning_rate
        self._optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(self._adapted, lr=rate)
            if self.options.optimizer == "adam"
            else torch.optim.SGD(self._adapted, lr=rate, momentum=0.9)
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Predict a batch, then adapt to it.

        Args:
            images: [B, 3, H, W], normalized together.

        Returns:
            Logits [B, C], from before the step.

        Raises:
            TensorError: the entropy is NaN; no step was made.
        """
        # A caller who only wants logits may be in inference mode; the step needs gradients.
        with torch.inference_mode(False), torch.enable_grad():
            logits: Tensor = self._model(images)
            logs = logits.float().log_softmax(dim=1)
            entropy = -(logs.exp() * logs).sum(dim=1).mean()  # in nats
            if not bool(entropy.isfinite()):
                raise TensorError(
                    "TENT: the entropy of a batch is not finite; try a learning rate below "
                    f"{self.options.learning_rate:g}"
                )
            self._optimizer.zero_grad(set_to_none=True)
            entropy.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            return logits.detach()


def tent_accuracy(
    tent: Tent, images: Tensor, labels: Tensor, batch_size: int = TENT_BATCH_SIZE
) -> float:
    """Accuracy in percent over one stream, shuffled as the rival's; `tent` is reset before it."""
    tent.reset()
    return accuracy(tent, *shuffled(images, labels), batch_size=batch_size)
