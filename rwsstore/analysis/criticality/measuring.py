"""Weakness of a network's layers under an attack (CLAT, section 3.1, equation 5)."""

__all__ = ["CriticalityOptions", "measure_criticality", "measure_weaknesses"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rwsstore.analysis.criticality.indices import Criticality, Weaknesses
from rwsstore.attacks import Pgd
from rwsstore.attacks.feature_pgd import layer_outputs
from rwsstore.attacks.objectives import plain_float32
from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError, TensorError
from rwsstore.files import Results
from rwsstore.models import check_evaluating, main_path_convolutions, unchanged
from rwsstore.progress import SILENT, Reporter


@dataclass(frozen=True)
class CriticalityOptions:
    """The attack that features are moved by; the paper's by default.

    Attributes:
        epsilon: ε of PGD, L∞, in units of [0, 1] images.
        steps: of it.
        step_size: of it; None for 2.5·ε/steps.
        batch_size: images at a time; changes results by no more than float rounding does.

    Raises:
        ConfigError: a value out of its range.
    """

    epsilon: float = 0.03
    steps: int = 10
    step_size: float | None = 0.007
    batch_size: int = 50

    def __post_init__(self) -> None:
        self.attack  # noqa: B018  # refuses what is out of range
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size!r}; expected 1 or more")

    @property
    def attack(self) -> Pgd:
        """Untargeted PGD on the output, from a random start."""
        return Pgd(self.epsilon, steps=self.steps, step_size=self.step_size)


def measure_criticality(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    options: CriticalityOptions | None = None,
    *,
    seed: int = 0,
    leaves: Iterable[type[nn.Module]] = (),
    progress: Reporter = SILENT,
) -> Criticality:
    """Attack once, run the model on both sets of images, and see which layers move features most.

    Args:
        model: in evaluation mode; left as it is, to the bit.
        images: uint8, or floats in [0, 1]; [N, 3, H, W]. Ten are enough (the paper's Table 7).
        labels: int64 [N].
        options: the attack.
        seed: of the attack's random starts.
        leaves: classes of modules that cannot be traced; what they hold is not measured.
        progress: counts images.

    Raises:
        ConfigError: the model is in training mode, cannot be run, traced or differentiated, or
            has no convolution.
        TensorError, DataError: images or labels that do not fit; features that are not finite.
    """
    found = measure_weaknesses(
        model, images, labels, options, seed=seed, leaves=leaves, progress=progress
    )
    return found.criticality()


def measure_weaknesses(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    options: CriticalityOptions | None = None,
    *,
    seed: int = 0,
    leaves: Iterable[type[nn.Module]] = (),
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> Weaknesses:
    """Attack once, and measure how far that moves every layer's features in every image.

    The paper's approximation: one perturbation, made against the output, stands for the worst
    case of every layer. F_i is what convolution i gives out, before normalization and activation.
    What is found for an image follows from the model, the image, its place and the seed alone, so
    that any batch's weakness is a mean over rows.

    Args:
        model: in evaluation mode; left as it is, to the bit.
        images: uint8, or floats in [0, 1]; [N, 3, H, W]. Ten are enough (the paper's Table 7).
        labels: int64 [N].
        options: the attack.
        seed: of the attack's random starts.
        leaves: classes of modules that cannot be traced; what they hold is not measured.
        results: what was measured before; all that it depends on is in its identity.
        progress: counts images.

    Raises:
        ConfigError: the model is in training mode, cannot be run, traced or differentiated, or
            has no convolution.
        TensorError, DataError: images or labels that do not fit; features that are not finite.
    """
    chosen, units = options or CriticalityOptions(), unit_images(images)
    kept = Results(None, {}) if results is None else results  # an empty one is false
    found: list[list[float]] = []
    with plain_float32(), unchanged(model):
        known = check_labels(labels, len(units), check_evaluating(model, units))
        names = main_path_convolutions(model, leaves=leaves)
        with progress.task("criticality", total=len(units)) as task:
            for start in range(0, len(units), chosen.batch_size):
                rows = torch.arange(start, min(start + chosen.batch_size, len(units)))
                measure = partial(
                    _weaknesses, model, names, units, known, rows, chosen.attack, seed
                )
                found += kept.value(f"images {start} to {start + len(rows)}", measure)
                task.advance(len(rows))
    return Weaknesses(names, torch.tensor(found, dtype=torch.float64))


def _weaknesses(
    model: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    labels: Tensor,
    rows: Tensor,
    attack: Pgd,
    seed: int,
) -> list[list[float]]:
    """‖F_i(x + δ) − F_i(x)‖₂/N_i of some of the images; [B][layers]."""
    attacked = attack.perturb(
        model, images[rows], labels[rows], seed=seed, indices=rows, batch_size=len(rows),
        early_exit=False,
    )  # fmt: skip
    with torch.no_grad():
        _, clean = layer_outputs(model, layers, images[rows])
        _, moved = layer_outputs(model, layers, attacked)
    found = torch.stack(
        [
            torch.linalg.vector_norm((after - before).flatten(1), dim=1).double()
            / before[0].numel()
            for before, after in zip(clean, moved, strict=True)
        ],
        dim=1,
    )
    if not bool(found.isfinite().all()):
        raise TensorError("a layer's features are NaN or infinite: look at the model's weights")
    values: list[list[float]] = found.tolist()
    return values
