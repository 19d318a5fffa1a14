"""The stronger rival: TENT, test-time entropy minimization (Wang et al., ICLR 2021).

BatchNorm normalizes each batch of the test stream by its own statistics, as in the plain rival,
and its scales and shifts are adapted while the stream goes by: one gradient step a batch on the
mean entropy of the batch's predictions (the paper's equation 1). No label and no corruption's
name is needed. A batch is predicted before the step that it causes.
"""

__all__ = ["TENT_BATCH_SIZE", "Tent", "TentOptions", "tent_accuracy"]

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rwsstore.config import Frozen
from rwsstore.errors import ConfigError, TensorError
from rwsstore.evaluation.accuracy import accuracy
from rwsstore.evaluation.rival import affine_parameters, shuffled, with_batch_statistics

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
            entropy = _entropy(logits).mean()
            if not bool(entropy.isfinite()):
                raise TensorError(
                    "TENT: the entropy of a batch is not finite; try a learning rate below "
                    f"{self.options.learning_rate:g}"
                )
            self._optimizer.zero_grad(set_to_none=True)
            entropy.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            return logits.detach()


def _entropy(logits: Tensor) -> Tensor:
    """Entropy of each prediction, in nats: [B, C] to [B]."""
    logs = logits.float().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def tent_accuracy(
    tent: Tent, images: Tensor, labels: Tensor, batch_size: int = TENT_BATCH_SIZE
) -> float:
    """Accuracy in percent over one stream, from the network given and shuffled as the rival's.

    Args:
        tent: is reset before the stream.
        images: [N, 3, H, W].
        labels: int64 [N].
        batch_size: images that are predicted, and adapted to, together.
    """
    tent.reset()
    return accuracy(tent, *shuffled(images, labels), batch_size=batch_size)
