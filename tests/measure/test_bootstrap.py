"""Intervals against plain loops, and what they promise."""

import random
import sys
from collections.abc import Callable
from statistics import fmean, quantiles

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from rwsstore.errors import ConfigError, TensorError
from rwsstore.measure import Figure, Interval, Resampling, bootstrap, mean_of

Statistic = Callable[[float, float, float], float]
"""Of TA, of RA without and of RA with a patch."""


def bernoulli(count: int, share: float, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < share


def interval(figure: Figure) -> Interval:
    assert figure.interval is not None
    return figure.interval


def width(figure: Figure) -> float:
    return interval(figure).high - interval(figure).low


def loops(
    columns: dict[str, list[bool]], statistic: Statistic, resampling: Resampling
) -> tuple[float, float]:
    """The percentile bootstrap in plain Python, with the very same choices of images."""
    count = len(next(iter(columns.values())))
    generator = torch.Generator().manual_seed(resampling.seed)
    found = []
    for _ in range(resampling.resamples):
        chosen = torch.randint(count, (count,), generator=generator).tolist()
        found.append(statistic(*[100 * fmean(c[i] for i in chosen) for c in columns.values()]))
    ends = quantiles(found, n=40, method="inclusive")
    return ends[0], ends[-1]


def test_intervals_are_those_of_plain_loops() -> None:
    columns = {"ta": bernoulli(37, 0.95, 1), "clean": bernoulli(37, 0.4, 2)}
    columns["patched"] = columns["clean"] | bernoulli(37, 0.5, 3)
    resampling = Resampling(resamples=200, seed=5)
    lists = {name: column.tolist() for name, column in columns.items()}
    found = bootstrap(columns, resampling)
    ta, clean, patched = found["ta"], found["clean"], found["patched"]
    cases: list[tuple[Figure, Statistic]] = [
        (ta, lambda t, c, p: t),
        (patched - clean, lambda t, c, p: p - c),
        (mean_of([clean, patched]), lambda t, c, p: (c + p) / 2),
        ((patched - clean) / (ta - clean), lambda t, c, p: (p - c) / (t - c)),
    ]
    for figure, statistic in cases:
        low, high = loops(lists, statistic, resampling)
        assert interval(figure).low == pytest.approx(low, abs=1e-9)
        assert interval(figure).high == pytest.approx(high, abs=1e-9)
        assert figure.value == pytest.approx(statistic(*[100 * fmean(c) for c in lists.values()]))


def test_the_confidence_is_the_share_of_the_draws_inside() -> None:
    column = {"a": bernoulli(500, 0.7)}
    for confidence in (0.5, 0.8, 0.95, 0.99):
        figure = bootstrap(column, Resampling(confidence=confidence))["a"]
        assert figure.draws is not None
        ends = interval(figure)
        inside = (figure.draws >= ends.low) & (figure.draws <= ends.high)
        assert float(inside.double().mean()) == pytest.approx(confidence, abs=0.05)


@pytest.mark.parametrize("share", [0.5, 0.85])
def test_about_95_percent_of_the_intervals_contain_the_truth(share: float) -> None:
    draws, images = 400, 300
    generator = torch.Generator().manual_seed(11)
    columns = torch.rand(draws, images, generator=generator) < share
    found = bootstrap(dict(enumerate(columns)), Resampling(resamples=400))
    ends = [interval(figure) for figure in found.values()]
    covered = fmean(end.low <= 100 * share <= end.high for end in ends)
    assert 0.92 <= covered <= 0.98


def test_a_paired_gain_is_known_better_than_its_terms() -> None:
    clean = bernoulli(1000, 0.6, 1)
    patched = clean | bernoulli(1000, 0.1, 2)
    found = bootstrap({"clean": clean, "patched": patched})
    assert width(found["patched"] - found["clean"]) < 0.7 * width(found["clean"])


def test_equal_columns_have_a_gain_of_exactly_nothing() -> None:
    column = bernoulli(101, 0.6)
    found = bootstrap({"one": column, "other": column.clone()})
    assert interval(found["one"] - found["other"]) == Interval(low=0.0, high=0.0)
    assert width(found["one"]) > 0


@pytest.mark.parametrize("right", [False, True])
def test_where_all_images_are_alike_the_interval_has_no_width(right: bool) -> None:
    figure = bootstrap({"a": torch.full((77,), right)})["a"]
    assert interval(figure) == Interval(low=figure.value, high=figure.value)
    assert figure.value == 100.0 * right


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(-(2**70), 2**70))
def test_the_interval_contains_the_estimate(column: list[bool], seed: int) -> None:
    figure = bootstrap({"a": torch.tensor(column)}, Resampling(resamples=400, seed=seed))["a"]
    assert figure.value == pytest.approx(100 * sum(column) / len(column))
    assert interval(figure).low <= figure.value <= interval(figure).high
    assert 0 <= interval(figure).low <= interval(figure).high <= 100


def test_the_seed_decides_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {n: bernoulli(50, 0.5, n) for n in range(5)}
    first = bootstrap(columns, Resampling(seed=3))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    alone = bootstrap({4: columns[4]}, Resampling(seed=3))
    assert torch.equal(state, torch.get_rng_state())
    assert interval(alone[4]) == interval(first[4])  # not on the company
    module = sys.modules["rwsstore.measure.bootstrap"]  # the package's name is the function's
    monkeypatch.setattr(module, "_CHUNK", 150)
    chunked = bootstrap(columns, Resampling(seed=3))
    for one, same in zip(first.values(), chunked.values(), strict=True):  # nor on the chunks
        assert one.draws is not None
        assert same.draws is not None
        assert torch.equal(one.draws, same.draws)
    other = bootstrap(columns, Resampling(seed=4))
    assert any(interval(other[n]) != interval(first[n]) for n in columns)


def test_without_resamples_there_are_figures_and_no_intervals() -> None:
    columns = {"a": bernoulli(50, 0.5, 1), "b": bernoulli(50, 0.5, 2)}
    bare, drawn = bootstrap(columns, Resampling(resamples=0)), bootstrap(columns)
    for name, figure in bare.items():
        assert figure.interval is None
        assert figure.value == drawn[name].value
    a, b = bare.values()
    for derived in (a - b, a / b, mean_of([a, b])):
        assert derived.interval is None
    assert mean_of([a, b]).value == fmean([a.value, b.value])


def test_a_ratio_over_what_may_be_nothing_has_no_bounds() -> None:
    rare = torch.zeros(30, dtype=torch.bool)
    rare[0] = True  # a third of the draws miss it
    found = bootstrap({"rare": rare, "usual": bernoulli(30, 0.5)})
    ratio = found["usual"] / found["rare"]
    assert ratio.interval is None
    assert ratio.value == pytest.approx(found["usual"].value / found["rare"].value)
    assert (found["rare"] / found["usual"]).interval is not None


def test_nothing_comes_of_nothing() -> None:
    assert bootstrap({}) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"resamples": -1}, {"resamples": 1}, {"resamples": 39}, {"confidence": 0.0},
        {"confidence": 1.0}, {"confidence": float("nan")}, {"confidence": 0.999},
        {"confidence": 0.99, "resamples": 199}, {"seed": 1.5}, {"seed": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_resampling_out_of_range_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Resampling(**fields)  # type: ignore[arg-type]  # names and values vary


def test_the_fewest_resamples_leave_one_draw_outside_at_each_end() -> None:
    assert Resampling(resamples=40).resamples == 40
    assert Resampling(resamples=20, confidence=0.9).resamples == 20
    with pytest.raises(ConfigError, match="resamples is 19; at 90% expected 20 or more"):
        Resampling(resamples=19, confidence=0.9)


@pytest.mark.parametrize(
    "columns",
    [
        [torch.ones(3)], [torch.ones(3, 2, dtype=torch.bool)], [torch.ones(0, dtype=torch.bool)],
        [torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool)],
        [torch.ones(3, dtype=torch.bool), torch.ones(3, dtype=torch.uint8)],
    ],
)  # fmt: skip
def test_correctness_of_another_form_is_refused(columns: list[Tensor]) -> None:
    with pytest.raises(TensorError, match="expected bool"):
        bootstrap(dict(enumerate(columns)))


def test_figures_that_were_not_drawn_together_do_not_mix() -> None:
    column = bernoulli(40, 0.5)
    one = bootstrap({"a": column})["a"]
    for other in (
        bootstrap({"a": column}, Resampling(seed=1))["a"],
        bootstrap({"a": bernoulli(41, 0.5)})["a"],
    ):
        with pytest.raises(ConfigError, match="different draws"):
            _ = one - other
        with pytest.raises(ConfigError, match="different draws"):
            mean_of([one, other])
    with pytest.raises(ConfigError, match="no figures"):
        mean_of([])


def test_accuracies_are_exact_whatever_the_number_of_images() -> None:
    for count in (1, 3, 7, 1000, 4999):
        right = random.Random(count).randrange(count + 1)
        column = torch.arange(count) < right
        wanted = 100.0 * float(column.double().mean())
        assert bootstrap({"a": column}, Resampling(resamples=0))["a"].value == wanted
