"""Constants between the benchmark's five severities, for severities such as 2.5.

A whole severity has exactly the table's constants. In between, each constant goes in a straight
line from one severity's to the next one's; what cannot, because it is a count or a choice, has a
rule of its own, which the corruption's row in the registry names. Where no constants lie between
the two, both images are made and mixed.
"""

__all__ = ["Rule", "linear", "liquid", "mixed_images", "whole_at", "zoom_factors"]

import math
from collections.abc import Callable

Numbers = tuple[float, ...]

Rule = Callable[[Numbers, Numbers, float], Numbers | None]
"""The constants of the severity below, those of the one above, how far up (0 to 1): those between.

None stands for mixing the two images.
"""


def linear(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Interpolate every constant."""
    return tuple(_mix(low, high, share) for low, high in zip(below, above, strict=True))


def whole_at(*places: int) -> Callable[[Numbers, Numbers, float], Numbers]:
    """A rule that interpolates and rounds the constants at `places`, which are counts.

    A half is rounded towards the severity above.
    """

    def rule(below: Numbers, above: Numbers, share: float) -> Numbers:
        mixed = list(linear(below, above, share))
        for place in places:
            up = above[place] >= below[place]
            value = mixed[place]
            mixed[place] = math.floor(value + 0.5) if up else math.ceil(value - 0.5)
        return tuple(mixed)

    return rule


def zoom_factors(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Zoom factors, evenly spaced from 1.

    The largest is interpolated; so is how many there are, and rounded, a half upwards.
    """
    count = math.floor(_mix(len(below), len(above), share) + 0.5)
    reach = _mix(max(below), max(above), share) - 1.0
    return tuple(1.0 + reach * step / (count - 1) for step in range(count))


def mixed_images(below: Numbers, above: Numbers, share: float) -> None:
    """Mix the two images: for kernels that constants change by whole pixels, in jumps."""


def liquid(below: Numbers, above: Numbers, share: float) -> Numbers | None:
    """Spatter: its last constant chooses water or mud, the one before means something else in each.

    Constants are interpolated where both severities have the same kind; else images are mixed.
    """
    return linear(below, above, share) if below[-1] == above[-1] else None


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)
