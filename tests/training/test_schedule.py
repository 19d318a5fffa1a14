import math

import pytest
from hypothesis import given, strategies as st

from rwsstore.training import derive_seed, learning_rate


def test_reference_values() -> None:
    rates = [learning_rate(step, 10, peak=1.0, warmup=0.2) for step in range(10)]
    cosine = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates == pytest.approx([0.5, 1.0, *cosine])
    assert rates[2:7:4] == pytest.approx([1.0, 0.5])


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert learning_rate(0, 5, peak=0.3, warmup=0.0) == 0.3
    assert learning_rate(0, 1, peak=0.3, warmup=0.9) == 0.3


def test_with_nothing_but_warm_up_it_ends_at_the_peak() -> None:
    assert [learning_rate(step, 4, peak=1.0, warmup=1.0) for step in range(4)] == [
        0.25, 0.5, 0.75, 1.0,
    ]  # fmt: skip


@given(st.integers(1, 2000), st.floats(1e-6, 10), st.floats(0, 1))
def test_it_is_positive_rises_to_the_peak_and_falls(total: int, peak: float, warmup: float) -> None:
    rates = [learning_rate(step, total, peak=peak, warmup=warmup) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    assert max(rates) == pytest.approx(peak)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_seeds_are_what_they_were_in_every_version() -> None:
    assert derive_seed(0, "order", 1) == 930169063165128685
    assert derive_seed(7, "images", 3) == 3479124200665997730


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(1, 50)), unique=True, min_size=2))
def test_seeds_differ_and_fit_a_generator(keys: list[tuple[int, int]]) -> None:
    seeds = [derive_seed(seed, "order", epoch) for seed, epoch in keys]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**62 for seed in seeds)


def test_parts_of_a_run_have_seeds_of_their_own() -> None:
    assert derive_seed(0, "order", 1) != derive_seed(0, "crops", 1)
    assert derive_seed(1, 23) != derive_seed(12, 3)
