"""Weakness and criticality of a network's layers.

Gopal, Yang, Zhang, Horton and Chen, Criticality Leveraged Adversarial Training (CLAT) for Boosted
Performance via Parameter Efficiency, 2024, section 3.1.
"""

__all__ = ["Criticality", "CriticalityOptions", "criticality_from", "measure_criticality"]

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.attacks import Pgd
from rwsstore.attacks.features import layer_outputs
from rwsstore.attacks.objectives import plain_float32
from rwsstore.data import unit_images
from rwsstore.errors import ConfigError, TensorError
from rwsstore.models import main_path_convolutions, unchanged
from rwsstore.progress import SILENT, Reporter

_SHARE = 0.05


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


@dataclass(frozen=True)
class Criticality:
    """How much each layer's features are moved by an attack, and which layer does it.

    Attributes:
        layers: paths of convolutions in the order of the forward pass.
        weakness: W_ε(F_i) of each, ‖F_i(x + δ) − F_i(x)‖₂/N_i in the mean over images.
        indices: C_i = W(F_i)/W(F_{i−1}) of each, C_1 = W(F_1); 0 where both are 0, infinite where
            only W(F_{i−1}) is.
        images: that were measured.
    """

    layers: tuple[str, ...]
    weakness: tuple[float, ...]
    indices: tuple[float, ...]
    images: int

    @property
    def ranking(self) -> tuple[str, ...]:
        """Layers, the most critical first; of equals the shallower first."""
        order = sorted(range(len(self.layers)), key=lambda place: -self.indices[place])
        return tuple(self.layers[place] for place in order)

    def top(self, k: int | None = None, *, among: Collection[str] | None = None) -> tuple[str, ...]:
        """The k most critical layers, or `default_k` of them.

        Args:
            k: how many.
            among: only these; None: of all.

        Raises:
            ConfigError: k is below 1 or above the number of layers.
        """
        count = self.default_k if k is None else k
        ranked = [name for name in self.ranking if among is None or name in among]
        if not 1 <= count <= len(ranked):
            raise ConfigError(
                f"the {count} most critical layers were asked for; there are {len(ranked)}"
            )
        return tuple(ranked[:count])

    @property
    def default_k(self) -> int:
        """A twentieth of the layers, rounded, and at least 1: about what the paper takes."""
        return max(1, round(_SHARE * len(self.layers)))


def measure_criticality(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    options: CriticalityOptions | None = None,
    *,
    seed: int = 0,
    progress: Reporter = SILENT,
) -> Criticality:
    """Attack once, and run the model on both sets of images.

    The paper's approximation: one perturbation, made against the output, stands for the worst
    case of every layer. F_i is what convolution i gives out, before normalization and activation.

    Args:
        model: in evaluation mode; left as it is, to the bit.
        images: uint8, or floats in [0, 1]; [N, 3, H, W]. Ten are enough (the paper's Table 7).
        labels: int64 [N].
        options: the attack.
        seed: of the attack's random start.
        progress: counts images under attack.

    Raises:
        ConfigError: the model is in training mode, cannot be run, traced or differentiated, or
            has no convolution.
        TensorError, DataError: images or labels that do not fit; features that are not finite.
    """
    chosen = options or CriticalityOptions()
    names = main_path_convolutions(model)
    units = unit_images(images)
    attacked = chosen.attack.perturb(
        model, units, labels, seed=seed, batch_size=chosen.batch_size, early_exit=False,
        progress=progress,
    )  # fmt: skip
    total = torch.zeros(len(names), dtype=torch.float64)
    with unchanged(model), plain_float32(), torch.no_grad():
        for start in range(0, len(units), chosen.batch_size):
            rows = slice(start, start + chosen.batch_size)
            total += _moved(model, names, units[rows], attacked[rows])
    if not bool(total.isfinite().all()):
        raise TensorError("a layer's features are NaN or infinite: look at the model's weights")
    return criticality_from(names, (total / len(units)).tolist(), images=len(units))


def criticality_from(
    layers: Sequence[str], weakness: Sequence[float], *, images: int
) -> Criticality:
    """Make indices of weaknesses (equation 6)."""
    before = (1.0, *weakness[:-1])
    indices = tuple(map(_ratio, weakness, before))
    return Criticality(tuple(layers), tuple(weakness), indices, images)


def _moved(model: nn.Module, layers: Sequence[str], images: Tensor, attacked: Tensor) -> Tensor:
    """Σ over a batch of ‖F_i(x + δ) − F_i(x)‖₂/N_i; float64 [layers]."""
    _, clean = layer_outputs(model, layers, images)
    _, moved = layer_outputs(model, layers, attacked)
    found = [
        torch.linalg.vector_norm((after - before).flatten(1), dim=1).double().sum()
        / before[0].numel()
        for before, after in zip(clean, moved, strict=True)
    ]
    return torch.stack(found).cpu()


def _ratio(weakness: float, before: float) -> float:
    if before > 0:
        return weakness / before
    return math.inf if weakness > 0 else 0.0
