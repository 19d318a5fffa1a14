"""Images and labels, checked against a model; loss and accuracy on them."""

__all__ = ["Measured", "Sample", "measure"]

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError
from rwsstore.models import check_evaluating


@dataclass(frozen=True)
class Measured:
    """What a model does on a set of images.

    Attributes:
        loss: mean cross-entropy in nats; None where it is not finite.
        accuracy: share of images classified as labelled, in percent; an image whose logits are
            NaN or infinite counts as wrong.
    """

    loss: float | None
    accuracy: float


@dataclass(frozen=True, eq=False)
class Sample:
    """Images and labels that a model was seen to work on; made by `Sample.of`.

    Attributes:
        images: uint8, or float32 in [0, 1]; [N, 3, H, W].
        labels: int64 [N].
        classes: C, how many logits the model gives.
        batch_size: images a step.
    """

    images: Tensor
    labels: Tensor
    classes: int
    batch_size: int

    @classmethod
    def of(
        cls, model: nn.Module, images: Tensor, labels: Tensor | None, *, batch_size: int = 250
    ) -> "Sample":
        """Check everything before anything is computed.

        Raises:
            ConfigError: the model cannot be run in evaluation mode, or `batch_size` is below 1.
            TensorError: the images are not as said, or the model's logits are not finite.
            DataError: labels are missing or out of range.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; expected 1 or more")
        first = unit_images(images[:1])
        kept = images if images.dtype == torch.uint8 else unit_images(images)
        classes = check_evaluating(model, _placed(first, model))
        return cls(kept, check_labels(labels, len(images), classes), classes, batch_size)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """Give images in [0, 1] and labels, as the model takes them: its dtype and device."""
        for start in range(0, len(self), self.batch_size):
            part = slice(start, start + self.batch_size)
            images = _placed(unit_images(self.images[part]), model)
            yield images, self.labels[part].to(images.device)


def measure(model: nn.Module, sample: Sample) -> Measured:
    """Measure loss and accuracy; the model is not touched.

    The forward pass is in the model's own dtype, everything from the logits on in float64.
    """
    loss, right = 0.0, 0
    with torch.inference_mode():
        for images, labels in sample.batches(model):
            logits = model(images).double()
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            finite = torch.isfinite(logits).all(dim=1)
            right += int(((logits.argmax(dim=1) == labels) & finite).sum())
    mean = loss / len(sample)
    return Measured(mean if math.isfinite(mean) else None, 100.0 * right / len(sample))


def _placed(images: Tensor, model: nn.Module) -> Tensor:
    """Bring images to the device and dtype of the model's parameters."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return images.to(parameter)
    return images
