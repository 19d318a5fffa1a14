"""Weakness of a network's layers under an attack (CLAT, section 3.1), and their indices.

Gopal, Yang, Zhang, Horton and Chen, Criticality Leveraged Adversarial Training (CLAT) for Boosted
Performance via Parameter Efficiency, 2024, section 3.1.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from rwsstore.attacks import Pgd
from rwsstore.attacks.pgd import layer_outputs
from rwsstore.attacks.search import plain_float32
from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError, TensorError
from rwsstore.files import Results
from rwsstore.models import check_evaluating, main_path_convolutions, unchanged
from rwsstore.progress import SILENT, Reporter

_SHARE = 0.05


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
        return default_count(len(self.layers))


@dataclass(frozen=True, eq=False)
class Weaknesses:
    """How far an attack moves each layer's features in each image.

    Attributes:
        layers: paths of convolutions in the order of the forward pass.
        values: float64 [N, layers], ‖F_i(x + δ) − F_i(x)‖₂/N_i.
    """

    layers: tuple[str, ...]
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def criticality(self, rows: Tensor | None = None) -> Criticality:
        """Make indices of the mean over images (equation 5).

        Args:
            rows: int64 [M], which images, at least one; None: all.
        """
        values = self.values if rows is None else self.values[rows]
        return criticality_from(self.layers, values.mean(0).tolist(), images=len(values))


def default_count(layers: int) -> int:
    """How many of so many layers count as critical: a twentieth, rounded, and at least 1."""
    return max(1, round(_SHARE * layers))


def criticality_from(
    layers: Sequence[str], weakness: Sequence[float], *, images: int
) -> Criticality:
    """Make indices of weaknesses (equation 6)."""
    indices = tuple(
        own / before if before > 0 else math.inf if own > 0 else 0.0
        for own, before in zip(weakness, (1.0, *weakness[:-1]), strict=True)
    )
    return Criticality(tuple(layers), tuple(weakness), indices, images)


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
    """Attack once, and see which layers move features most: the mean over `measure_weaknesses`."""
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

        def measure(rows: Tensor) -> list[list[float]]:
            """‖F_i(x + δ) − F_i(x)‖₂/N_i of some of the images; [B][layers]."""
            attacked = chosen.attack.perturb(
                model, units[rows], known[rows], seed=seed, indices=rows, batch_size=len(rows),
                early_exit=False,
            )  # fmt: skip
            with torch.no_grad():
                _, clean = layer_outputs(model, names, units[rows])
                _, moved = layer_outputs(model, names, attacked)
            lengths = [
                torch.linalg.vector_norm((after - before).flatten(1), dim=1).double()
                / before[0].numel()
                for before, after in zip(clean, moved, strict=True)
            ]
            found: list[list[float]] = torch.stack(lengths, dim=1).tolist()
            if not all(map(math.isfinite, chain.from_iterable(found))):
                raise TensorError(
                    "a layer's features are NaN or infinite: look at the model's weights"
                )
            return found

        with progress.task("criticality", total=len(units)) as task:
            for start in range(0, len(units), chosen.batch_size):
                rows = torch.arange(start, min(start + chosen.batch_size, len(units)))
                key = f"images {start} to {start + len(rows)}"
                found += kept.value(key, partial(measure, rows))
                task.advance(len(rows))
    return Weaknesses(names, torch.tensor(found, dtype=torch.float64))
