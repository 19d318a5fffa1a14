"""Criticality indices of layers, made of how far an attack moves their features.

Gopal, Yang, Zhang, Horton and Chen, Criticality Leveraged Adversarial Training (CLAT) for Boosted
Performance via Parameter Efficiency, 2024, section 3.1.
"""

__all__ = ["Criticality", "Weaknesses", "criticality_from", "default_count"]

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import Tensor

from rwsstore.errors import ConfigError

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
    before = (1.0, *weakness[:-1])
    indices = tuple(map(_ratio, weakness, before))
    return Criticality(tuple(layers), tuple(weakness), indices, images)


def _ratio(weakness: float, before: float) -> float:
    if before > 0:
        return weakness / before
    return math.inf if weakness > 0 else 0.0
