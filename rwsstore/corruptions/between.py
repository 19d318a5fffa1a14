"""Constants between the benchmark's five severities, for severities such as 2.5.

A whole severity has exactly the table's constants. In between, each constant goes in a straight
line from one severity's to the next one's; what cannot, because it is a count or a choice, has a
rule of its own, which the corruption's row in the registry names.
"""

__all__ = ["Rule", "linear", "liquid", "whole_at", "zoom_factors"]

import math
from collections.abc import Callable

Numbers = tuple[float, ...]

Rule = Callable[[Numbers, Numbers, float], Numbers]
"""The constants of the severity below, those of the one above, how far up (0 to 1): the mix."""


def linear(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Interpolate every constant."""
    return tuple(_mix(low, high, share) for low, high in zip(below, above, strict=True))


def whole_at(*places: int) -> Rule:
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


def liquid(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Spatter: its last constant chooses water or mud, the one before means something else in each.

    The layer's constants are interpolated always; where the kind changes, it and its strength
    are those of the nearer severity, of the one above in the middle.
    """
    mixed = linear(below, above, share)
    if below[-1] == above[-1]:
        return mixed
    return mixed[:-2] + (above if share >= 0.5 else below)[-2:]


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)
