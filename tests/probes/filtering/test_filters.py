"""The three filters as functions."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.probes.filtering import parse_filters
from rwsstore.probes.filtering.curves import FILTERS, high_pass, low_pass, pulse

WEIGHTS = st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=30).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)
COUNTS = st.integers(1, 15).map(lambda half: 2 * half + 1)


def removed(name: str, weights: Tensor, count: int) -> list[Tensor]:
    row = FILTERS[name]
    return [~row.keep(weights, a) for a in row.thresholds(weights, count)]


def test_signs_count() -> None:
    weights = torch.tensor([[-2.0, -0.5], [0.5, 3.0]])
    assert high_pass(weights, -0.5).tolist() == [[False, False], [True, True]]
    assert low_pass(weights, 0.5).tolist() == [[True, True], [False, False]]


def test_the_pulse_is_a_twenty_fifth_of_the_range_wide() -> None:
    weights = torch.tensor([-1.0, -0.05, -0.04, 0.0, 0.04, 0.0625, 1.0])  # 2/50 to either side
    assert pulse(weights, 0.0).tolist() == [True, True, False, False, False, True, True]
    assert pulse(weights, 1.0).tolist() == [True] * 6 + [False]


@given(weights=WEIGHTS, count=COUNTS)
def test_the_ends_are_exact(weights: Tensor, count: int) -> None:
    low, high = float(weights.min()), float(weights.max())
    assert FILTERS["h1"].thresholds(weights, count)[:: count - 1] == [low, high]
    assert FILTERS["h2"].thresholds(weights, count)[:: count - 1] == [high, low]
    assert torch.equal(removed("h1", weights, count)[0], weights == low)
    assert torch.equal(removed("h2", weights, count)[0], weights == high)
    assert removed("h1", weights, count)[-1].all()
    assert removed("h2", weights, count)[-1].all()


@given(weights=WEIGHTS, count=COUNTS)
def test_what_went_stays_away(weights: Tensor, count: int) -> None:
    for name in ("h1", "h2"):
        steps = removed(name, weights, count)
        assert all((gone <= more).all() for gone, more in pairwise(steps))


@given(weights=WEIGHTS, count=COUNTS)
def test_low_pass_is_high_pass_upside_down(weights: Tensor, count: int) -> None:
    for one, other in zip(
        removed("h1", weights, count), removed("h2", -weights, count), strict=True
    ):
        assert torch.equal(one, other)


@given(weights=WEIGHTS)
def test_pulses_at_25_thresholds_meet_every_weight_once_or_twice(weights: Tensor) -> None:
    # Thresholds lie a 24th of the range apart, a pulse is a 25th wide: hardly any gap.
    times = torch.stack(removed("h3", weights, 25)).sum(0)
    if weights.min() < weights.max():
        assert int(times.max()) <= 2
        assert bool(times[weights == weights.min()].all())
        assert bool(times[weights == weights.max()].all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    weights = torch.tensor([-1, -0.25, 0.25, 1], dtype=dtype)
    assert [int(gone.sum()) for gone in removed("h1", weights, 5)] == [1, 1, 2, 3, 4]


def test_equal_weights_go_together() -> None:
    weights = torch.full((3,), 0.5)
    for name in FILTERS:
        assert all(gone.all() for gone in removed(name, weights, 3))


def test_names() -> None:
    assert parse_filters("all") == ("h1", "h2", "h3")
    assert parse_filters("h3, h1") == ("h3", "h1")
    with pytest.raises(ConfigError, match="name one twice"):
        parse_filters("h1,h1")
    with pytest.raises(UnknownNameError, match="unknown filter 'h4'"):
        parse_filters("h4")
