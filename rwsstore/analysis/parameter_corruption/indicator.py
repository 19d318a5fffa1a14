"""The indicator: by how much the loss rises in the worst case (definition 2)."""

__all__ = ["Indicator", "measure_indicator"]

from dataclasses import dataclass

from torch import Tensor, nn

from rwsstore.analysis.parameter_corruption.constraint import Constraint
from rwsstore.analysis.parameter_corruption.corruption import (
    corrupted_copy,
    first_order_change,
    gradient_corruption,
)
from rwsstore.analysis.parameter_corruption.gradient import loss_gradient
from rwsstore.analysis.parameter_corruption.sample import Measured, Sample, measure
from rwsstore.analysis.parameter_corruption.selection import Group, all_parameters
from rwsstore.progress import SILENT, Reporter


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
    before: Measured
    after: Measured


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
    """Estimate the indicator of a group of parameters; the model is left as it is, to the bit.

    Args:
        model: in evaluation mode.
        images: uint8, or floats in [0, 1]; [N, 3, H, W].
        labels: int64 [N].
        constraint: S.
        group: w; None: all parameters.
        batch_size: images a step.
        progress: where to report.

    Raises:
        ConfigError: the model cannot be run in evaluation mode, or n is larger than k.
        TensorError: images are not as said, or the gradient is not finite.
        DataError: labels are missing or out of range.
    """
    sample = Sample.of(model, images, labels, batch_size=batch_size)
    chosen = all_parameters(model) if group is None else group
    gradient = loss_gradient(model, sample, chosen.parameters, progress=progress).tensors
    corruption = gradient_corruption(gradient, constraint)
    before, after = measure(model, sample), measure(corrupted_copy(model, corruption), sample)
    return Indicator(
        first_order_change(corruption, gradient), loss_change(before, after), before, after
    )


def loss_change(before: Measured, after: Measured) -> float | None:
    """Subtract two losses; None where one is not finite."""
    if before.loss is None or after.loss is None:
        return None
    return after.loss - before.loss
