import math
from collections.abc import Callable

import pytest

from rwsstore.errors import ConfigError
from rwsstore.speed import Pairs, Ratio, inner_for, time_pairs, timings
from rwsstore.speed.measuring import repeats_within


class World:
    """A clock that only moves when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def clock(self) -> float:
        return self.now

    def worker(self, name: str, *costs: float) -> Callable[[], None]:
        """An action that takes each of these times in turn, the last one for ever."""
        left = list(costs)

        def work() -> None:
            self.done.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_the_spread_is_the_quartiles() -> None:
    assert Ratio.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Ratio(3.0, 2.0, 4.0)
    assert Ratio.of([1.0, 2.0]) == Ratio(1.5, 1.25, 1.75)
    assert Ratio.of(iter([7.0])) == Ratio(7.0, 7.0, 7.0)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf], [0.0], [-1.0]])
def test_what_is_no_ratio_is_refused(values: list[float]) -> None:
    with pytest.raises(ConfigError, match="finite ratios above 0"):
        Ratio.of(values)


def test_the_two_take_turns_and_warming_up_does_not_count() -> None:
    world = World()
    slow, fast = world.worker("slow", 100.0, 3.0), world.worker("fast", 50.0, 1.0)
    found = time_pairs(slow, fast, repeats=3, warm_up=1, clock=world.clock)
    assert found.ratio == Ratio(3.0, 3.0, 3.0)
    assert world.done == ["slow", "fast"] * 4


def test_a_machine_that_slows_down_halfway_does_not_change_the_ratio() -> None:
    world = World()
    measured = world.worker("measured", 2.0, 2.0, 2.0, 20.0, 20.0)
    against = world.worker("against", 1.0, 1.0, 1.0, 10.0, 10.0)
    pairs = time_pairs(measured, against, repeats=5, warm_up=0, clock=world.clock)
    assert pairs.ratio == Ratio(2.0, 2.0, 2.0)
    assert pairs.milliseconds == (2000.0, 1000.0)


def test_a_quick_action_is_repeated_within_a_turn() -> None:
    world = World()
    pairs = time_pairs(
        world.worker("a", 4.0), world.worker("b", 2.0), repeats=2, warm_up=0,
        clock=world.clock, inner=3,
    )  # fmt: skip
    assert pairs == Pairs((4.0, 4.0), (2.0, 2.0))
    assert world.done == ["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3


def test_one_action_alone() -> None:
    world = World()
    work = world.worker("a", 9.0, 1.0, 2.0, 3.0)
    assert timings(work, repeats=3, warm_up=1, clock=world.clock) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("cost", "seconds", "repeats"),
    [(1.0, 10.0, 10), (4.0, 10.0, 3), (0.001, 10.0, 101), (0, 1, 101)],
)
def test_repeats_follow_from_the_second_try(cost: float, seconds: float, repeats: int) -> None:
    world = World()
    work = world.worker("a", 1000.0, cost)
    assert repeats_within(work, seconds, clock=world.clock) == repeats


@pytest.mark.parametrize(
    ("cost", "inner"), [(1.0, 1), (0.25, 4), (0.3, 4), (0.0001, 1000), (0.0, 1000)]
)
def test_a_turn_is_made_long_enough(cost: float, inner: int) -> None:
    world = World()
    work = world.worker("a", 1000.0, cost)
    assert inner_for(work, seconds=1.0, clock=world.clock) == inner


@pytest.mark.parametrize("counts", [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_counts_out_of_range_are_refused(counts: tuple[int, int, int]) -> None:
    repeats, warm_up, inner = counts
    with pytest.raises(ConfigError, match="at least 1, 0 and 1"):
        time_pairs(int, int, repeats=repeats, warm_up=warm_up, inner=inner)
    with pytest.raises(ConfigError, match="at least 1, 0 and 1"):
        timings(int, repeats=repeats, warm_up=warm_up, inner=inner)


def test_a_clock_that_stands_still_is_an_error() -> None:
    with pytest.raises(ConfigError, match="took no time"):
        _ = time_pairs(int, int, repeats=1, warm_up=0, clock=lambda: 1.0).ratio
