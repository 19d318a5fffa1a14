"""The three synaptic filters: which of a layer's weights are set to zero at a threshold.

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023 (arXiv 2312.09821).
The names h1, h2 and h3 for these three are our own choice.
"""

__all__ = ["FILTERS", "Filter", "high_pass", "low_pass", "parse_filters", "pulse"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from rwsstore.errors import ConfigError, UnknownNameError

_PULSE = 50
"""The pulse reaches this part of the weights' range to either side of the threshold."""


def high_pass(weights: Tensor, threshold: float) -> Tensor:
    """Ideal high-pass filter: keep the weights above the threshold.

    Args:
        weights: with their signs; any shape.
        threshold: a.

    Returns:
        bool of the same shape, True where the weight is kept.
    """
    return weights.double() > threshold  # whatever their dtype, the threshold is not rounded


def low_pass(weights: Tensor, threshold: float) -> Tensor:
    """Ideal low-pass filter: keep the weights below the threshold; as `high_pass` otherwise."""
    return weights.double() < threshold


def pulse(weights: Tensor, threshold: float) -> Tensor:
    """Pulse filter: keep the weights further than a 50th of their range from the threshold.

    As `high_pass` otherwise.
    """
    low, high = weights.aminmax()
    width = (float(high) - float(low)) / _PULSE
    return (weights.double() - threshold).abs() > width


@dataclass(frozen=True)
class Filter:
    """One filter, as a row of the registry.

    Attributes:
        name: in the registry.
        title: what people call it.
        keep: weights and threshold to what is kept.
        rising: whether the thresholds rise from the smallest weight to the largest, or fall.
    """

    name: str
    title: str
    keep: Callable[[Tensor, float], Tensor]
    rising: bool = True

    def thresholds(self, weights: Tensor, count: int) -> list[float]:
        """Space thresholds evenly over the range of a layer's weights.

        Args:
            weights: of the layer.
            count: how many, 2 or more.

        Returns:
            The smallest weight, ..., the largest, or the other way round; both ends are exact.
        """
        low, high = (float(end) for end in weights.aminmax())
        last = count - 1
        between = [(low * (last - step) + high * step) / last for step in range(1, last)]
        rising = [low, *between, high]
        return rising if self.rising else rising[::-1]


FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        row.name: row
        for row in (
            Filter("h1", "high-pass", high_pass),
            Filter("h2", "low-pass", low_pass, rising=False),
            Filter("h3", "pulse", pulse),
        )
    }
)
"""The filters by name."""


def parse_filters(text: str) -> tuple[str, ...]:
    """Read `all`, or names: `h1,h3`.

    Raises:
        ConfigError: one is named twice.
        UnknownNameError: no such filter.
    """
    names = tuple(FILTERS) if text == "all" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in FILTERS:
            raise UnknownNameError("filter", name, FILTERS)
    if len(set(names)) != len(names):
        raise ConfigError(f"filters {text!r} name one twice")
    return names
