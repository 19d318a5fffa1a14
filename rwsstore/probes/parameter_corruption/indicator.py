"""By how much the loss rises in the worst case, and the gradient that tells it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError, TensorError
from rwsstore.models import check_evaluating, scratch_copy
from rwsstore.probes.parameter_corruption import corruption
from rwsstore.probes.parameter_corruption.corruption import Constraint, Group
from rwsstore.progress import SILENT, Reporter


@dataclass(frozen=True)
class LossAndAccuracy:
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


def measure(model: nn.Module, sample: Sample) -> LossAndAccuracy:
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
    return LossAndAccuracy(mean if math.isfinite(mean) else None, 100.0 * right / len(sample))


def _placed(images: Tensor, model: nn.Module) -> Tensor:
    """Bring images to the device and dtype of the model's parameters."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return images.to(parameter)
    return images


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
    batch size matters no more than rounding. The model is left as it is: a copy is used. By
    default of all parameters of floating point.

    Raises:
        ConfigError: no parameter is named, or the loss does not depend on any that is.
        UnknownNameError: a name is not one of the model's.
        TensorError: the loss or its gradient is not finite; the first parameter is named.
    """
    group = (
        corruption.all_parameters(model)
        if parameters is None
        else corruption.named_group(model, parameters)
    )
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
                if not loss.requires_grad:
                    raise ConfigError(
                        f"the loss does not depend on {', '.join(list(chosen)[:3])}: they are not "
                        "used in the forward pass, or it runs without gradients"
                    )
                parts = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
                for name, part in zip(chosen, parts, strict=True):
                    if part is not None:
                        sums[name] += part.cpu().double()
                total += float(loss.detach())
                task.advance()
    found = {name: tensor / len(sample) for name, tensor in sums.items()}
    for name, tensor in found.items():
        if bad := int(tensor.numel() - tensor.isfinite().sum()):
            raise TensorError(
                f"the gradient of {name} is NaN or infinite in {bad} of {tensor.numel()} places, "
                "so it points nowhere; the loss of this model on these images is not differentiable"
            )
    return LossGradient(total / len(sample), found)


@dataclass(frozen=True)
class Indicator:
    """Δ_max L(w, S, D), estimated with the gradient-based corruption.

    Attributes:
        first_order: ε·‖h‖_{p/(p−1)}, in nats (equation 7).
        measured: L(w + â; D) − L(w; D) on the same data, in nats; None where not finite.
        before: the model as it is.
        after: with â on.
    """

    first_order: float
    measured: float | None
    before: LossAndAccuracy
    after: LossAndAccuracy


def measure_indicator(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    constraint: Constraint,
    *,
    group: Group | None = None,
    batch_size: int = 250,
    progress: Reporter = SILENT,
) -> Indicator:
    """Estimate the indicator of a group of parameters (None: all), the model left as it is.

    Raises:
        ConfigError: the model cannot be run in evaluation mode, or n is larger than k.
        TensorError: images are not as `Sample` takes them, or the gradient is not finite.
        DataError: labels are missing or out of range.
    """
    sample = Sample.of(model, images, labels, batch_size=batch_size)
    chosen = corruption.all_parameters(model) if group is None else group
    gradient = loss_gradient(model, sample, chosen.parameters, progress=progress).tensors
    vector = corruption.gradient_corruption(gradient, constraint)
    before, after = (
        measure(model, sample),
        measure(corruption.corrupted_copy(model, vector), sample),
    )
    return Indicator(
        corruption.first_order_change(vector, gradient), loss_change(before, after), before, after
    )


def loss_change(before: LossAndAccuracy, after: LossAndAccuracy) -> float | None:
    """Subtract two losses; None where one is not finite."""
    if before.loss is None or after.loss is None:
        return None
    return after.loss - before.loss
