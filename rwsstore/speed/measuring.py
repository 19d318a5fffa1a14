"""Timing one action against another: in one run, turn by turn, as a ratio with its spread.

Milliseconds belong to one machine on one day. A ratio of two actions that take turns in one
process is what travels: whatever slows the machine down for a while slows both.
"""

__all__ = [
    "Action",
    "Clock",
    "Pairs",
    "Ratio",
    "compare",
    "inner_for",
    "repeats_within",
    "time_pairs",
    "timings",
]

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rwsstore.errors import ConfigError

Action = Callable[[], object]
"""Something to time; what it returns is dropped within the time that it is charged."""

Clock = Callable[[], float]
"""Seconds, ever rising."""


@dataclass(frozen=True)
class Ratio:
    """A ratio as it was measured over several repetitions.

    Attributes:
        median: the middle one.
        low: the lower quartile: a quarter of the repetitions gave less.
        high: the upper one: a quarter gave more. Quartiles, not extremes, because one hiccup of the
            machine in fifty repetitions would else be all that the spread tells.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Ratio":
        """Sum up one ratio a repetition; of a single one, all three are the same.

        Raises:
            ConfigError: there is none, or one is not a finite number above 0.
        """
        found = sorted(values)
        if not found or not all(math.isfinite(value) and value > 0 for value in found):
            raise ConfigError(f"expected finite ratios above 0, one a repetition; found {found}")
        if len(found) == 1:
            return cls(found[0], found[0], found[0])
        low, median, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Pairs:
    """The times of two actions that took turns.

    Attributes:
        measured: seconds that the one took, once; an entry a repetition.
        against: the same of the other, as many.
    """

    measured: tuple[float, ...]
    against: tuple[float, ...]

    @property
    def ratio(self) -> Ratio:
        """Measured over against, pair by pair.

        Not the ratio of the two medians: the two times of a pair lie next to each other, so that
        a machine that slows down halfway through shifts both, and no pair's ratio.

        Raises:
            ConfigError: a time is 0: the clock did not move.
        """
        if not all(self.against):
            raise ConfigError("an action took no time by the clock: repeat it within a turn")
        pairs = zip(self.measured, self.against, strict=True)
        return Ratio.of(one / other for one, other in pairs)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """The median time of the one and of the other."""
        return 1000 * statistics.median(self.measured), 1000 * statistics.median(self.against)


def compare(
    measured: Action,
    against: Action,
    *,
    repeats: int,
    warm_up: int,
    clock: Clock = time.perf_counter,
    inner: int = 1,
) -> Ratio:
    """Measure how many times as long one action takes as another.

    Args:
        measured: the one.
        against: the other.
        repeats: timed turns of each, 1 or more.
        warm_up: turns of each before that, not timed.
        clock: seconds, ever rising.
        inner: how often an action is repeated within a turn. Raise it for an action of
            microseconds, so that a turn is long against the clock's own noise.

    Raises:
        ConfigError: a count is out of range, or the clock did not move.
    """
    pairs = time_pairs(
        measured, against, repeats=repeats, warm_up=warm_up, clock=clock, inner=inner
    )
    return pairs.ratio


def time_pairs(
    measured: Action,
    against: Action,
    *,
    repeats: int,
    warm_up: int,
    clock: Clock = time.perf_counter,
    inner: int = 1,
) -> Pairs:
    """Time two actions in turns, A B A B …; arguments as in `compare`.

    Each always follows the other, so that both find the caches as the other left them.

    Raises:
        ConfigError: a count is out of range.
    """
    _check_counts(repeats, warm_up, inner)
    pairs = [
        (_turn(measured, clock, inner), _turn(against, clock, inner))
        for _ in range(warm_up + repeats)
    ]
    ones, others = zip(*pairs[warm_up:], strict=True)
    return Pairs(ones, others)


def timings(
    action: Action,
    *,
    repeats: int,
    warm_up: int,
    clock: Clock = time.perf_counter,
    inner: int = 1,
) -> tuple[float, ...]:
    """Time an action on its own, in seconds, an entry a repetition; arguments as in `compare`.

    Raises:
        ConfigError: a count is out of range.
    """
    _check_counts(repeats, warm_up, inner)
    return tuple(_turn(action, clock, inner) for _ in range(warm_up + repeats))[warm_up:]


def repeats_within(
    action: Action,
    seconds: float,
    *,
    least: int = 3,
    most: int = 101,
    clock: Clock = time.perf_counter,
) -> int:
    """Say how often an action can be repeated in some seconds, from trying it twice.

    The first try is not counted: it may build kernels and allocate.

    Args:
        action: to be repeated.
        seconds: that it may take in all.
        least: the smallest answer, however slow it is.
        most: the largest, however fast.
        clock: seconds, ever rising.
    """
    action()
    once = _turn(action, clock, 1)
    return least if once * least >= seconds else min(most, int(seconds / max(once, 1e-9)))


def inner_for(
    action: Action, *, seconds: float = 0.005, most: int = 1000, clock: Clock = time.perf_counter
) -> int:
    """Say how often to repeat an action within a turn, so that the turn takes some time at least.

    The first try is not counted: it may build kernels and allocate.

    Args:
        action: to be repeated.
        seconds: that a turn is to take.
        most: the largest answer.
        clock: seconds, ever rising.
    """
    action()
    once = _turn(action, clock, 1)
    return max(1, min(most, math.ceil(seconds / max(once, 1e-9))))


def _check_counts(repeats: int, warm_up: int, inner: int) -> None:
    if repeats < 1 or warm_up < 0 or inner < 1:
        raise ConfigError(
            f"repeats {repeats}, warm_up {warm_up}, inner {inner}: expected at least 1, 0 and 1"
        )


def _turn(action: Action, clock: Clock, inner: int) -> float:
    start = clock()
    for _ in range(inner):
        action()
    return (clock() - start) / inner
