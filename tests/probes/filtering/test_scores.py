"""Curves to scores, intervals and verdicts."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.measure import Figure, Resampling, bootstrap
from rwsstore.probes.filtering import ScoringOptions, measure_curves, score_layers
from rwsstore.probes.filtering.curves import FilterCurve
from rwsstore.probes.filtering.report import kind_of, normalized, score_curve, simpson
from tests.probes.filtering.making import SHORT, curves_of, data, made_up, trained

PLAIN = ScoringOptions(above_chance=False, resampling=Resampling(resamples=0))
ABOVE = replace(PLAIN, above_chance=True)


@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.integers(1, 12).map(lambda half: 2 * half + 1),
)
def test_simpson_is_exact_up_to_cubes(coefficients: list[float], count: int) -> None:
    places = torch.linspace(0, 1, count, dtype=torch.float64)
    values = sum(c * places**power for power, c in enumerate(coefficients))
    integral = sum(c / (power + 1) for power, c in enumerate(coefficients))
    assert float(simpson(torch.as_tensor(values))) == pytest.approx(integral, abs=1e-9)


def values(scores: dict[str, Figure | None]) -> dict[str, float | None]:
    return {name: None if one is None else round(one.value, 9) for name, one in scores.items()}


def test_by_hand() -> None:
    # A = 1, 0.75, 0.25; B = 1, 0.5, 0; D = 1, 0.4, 0: Simpson weighs 1/6, 4/6, 1/6.
    curve = made_up([16, 12, 4], [8, 4, 0], [1.0, 0.4, 0.0])
    a, b, d = (1 + 3 + 0.25) / 6, (1 + 2 + 0) / 6, (1 + 1.6 + 0) / 6
    expected = {"s1": a - d, "s2": b - d, "s3": b - a}
    assert values(score_curve(curve, 5, PLAIN)) == pytest.approx(expected)


def test_above_chance_by_hand() -> None:
    # Of 20 images 4 are chance: A = 12, 8, 0 of 12 above it, B = 4, 0, -4 of 4.
    curve = made_up([16, 12, 4], [8, 4, 0], [1.0, 0.4, 0.0])
    a, b, d = (1 + 4 * 2 / 3 + 0) / 6, (1 + 0 - 1) / 6, (1 + 1.6 + 0) / 6
    expected = {"s1": a - d, "s2": b - d, "s3": b - a}
    assert values(score_curve(curve, 5, ABOVE)) == pytest.approx(expected)


def test_what_falls_with_its_weights_scores_zero() -> None:
    curve = made_up([20, 10, 0], [20, 10, 0], [1.0, 0.5, 0.0])
    assert values(score_curve(curve, 5, PLAIN)) == {"s1": 0, "s2": 0, "s3": 0}


def test_a_network_without_an_answer_left_gets_nothing_above_chance() -> None:
    guessing = made_up([16, 4, 4], [8, 4, 4], [1.0, 0.0, 0.0])
    found = score_curve(guessing, 5, ABOVE)
    assert values(found) == {"s1": 0, "s2": 0, "s3": 0}
    published = values(score_curve(guessing, 5, PLAIN))
    assert published["s2"] == pytest.approx(0.5 * 5 / 6)  # and would pass for antifragile


@pytest.mark.parametrize(
    ("clean", "attacked", "options", "undefined"),
    [
        ([16, 8, 4], [0, 0, 0], PLAIN, {"s2", "s3"}),
        ([16, 8, 4], [4, 4, 4], PLAIN, set()),
        ([16, 8, 4], [4, 4, 4], ABOVE, {"s2", "s3"}),
        ([4, 8, 16], [3, 4, 4], ABOVE, {"s1", "s2", "s3"}),
        ([0, 8, 16], [0, 4, 4], PLAIN, {"s1", "s2", "s3"}),
    ],
)
def test_relative_to_nothing_is_not_defined(
    clean: list[int], attacked: list[int], options: ScoringOptions, undefined: set[str]
) -> None:
    found = score_curve(made_up(clean, attacked, [1.0, 0.5, 0.0]), 5, options)
    assert {name for name, one in found.items() if one is None} == undefined


def test_normalized_along_several_curves_at_once() -> None:
    table = torch.tensor([[50.0, 10.0, 5.0], [30.0, 40.0, 40.0]], dtype=torch.float64)
    found = normalized(table, 10.0)
    assert found[:, 0].tolist() == [1.0, 0.5]
    assert found[:, 1:].isnan().all()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-0.3, "fragile"), (-0.1, "robust"), (0.0, "robust"), (0.1, "robust"), (0.3, "antifragile")],
)
def test_kinds(value: float, kind: str) -> None:
    assert kind_of(value, 0.1) == kind


def layers_of(*, decides: str = "s2", tolerance: float = 0.1) -> list[tuple[str | None, bool]]:
    """A layer that shrugs filtering off, one that breaks at once, one that was never any good."""
    sturdy = made_up([180, 180, 180], [160, 160, 160], [1.0, 0.2, 0.0], images=200, layer="a.one")
    frail = made_up([180, 20, 20], [160, 20, 20], [1.0, 0.9, 0.0], images=200, layer="a.two")
    bad = made_up([20, 20, 20], [10, 10, 10], [1.0, 0.5, 0.0], images=200, layer="a.three")
    options = ScoringOptions(decides=decides, tolerance=tolerance)
    scores = score_layers(curves_of(sturdy, frail, bad), options)
    return [(layer.kind, layer.clear) for layer in scores]


def test_verdicts() -> None:
    assert layers_of() == [("antifragile", True), ("fragile", True), (None, False)]
    assert layers_of(tolerance=0.9)[:2] == [("robust", True), ("robust", True)]
    assert layers_of(decides="s3")[0] == ("robust", True)


def test_a_verdict_on_the_edge_is_not_clear() -> None:
    curve = made_up([18, 9, 2], [12, 6, 2], [1.0, 0.4, 0.0])
    (layer,) = score_layers(curves_of(curve), ScoringOptions())
    mean = layer.mean["s2"]
    assert mean is not None
    assert mean.interval is not None
    (edge,) = score_layers(curves_of(curve), ScoringOptions(tolerance=abs(mean.value) + 1e-6))
    assert (edge.kind, edge.clear) == ("robust", False)


def test_the_mean_is_over_the_filters() -> None:
    one = made_up([16, 12, 4], [8, 4, 0], [1.0, 0.4, 0.0], name="h1")
    other = made_up([16, 14, 4], [8, 8, 0], [1.0, 0.9, 0.0], name="h3")
    (layer,) = score_layers(curves_of(one, other, classes=5), PLAIN)
    each = [values(score_curve(curve, 5, PLAIN))["s2"] or 0.0 for curve in (one, other)]
    assert layer.mean["s2"] is not None
    assert layer.mean["s2"].value == pytest.approx(sum(each) / 2)
    assert list(layer.by_filter) == ["h1", "h3"]
    nothing = made_up([16, 14, 4], [0, 0, 0], [1.0, 0.9, 0.0], name="h3")
    (half,) = score_layers(curves_of(one, nothing, classes=5), PLAIN)
    assert half.mean["s2"] is None
    assert half.kind is None
    assert half.mean["s1"] is not None


def by_figures(curve: FilterCurve, resampling: Resampling) -> Figure:
    """S3, put together from figures and their own arithmetic."""
    rows = {("a", place): row for place, row in enumerate(curve.clean)}
    rows |= {("b", place): row for place, row in enumerate(curve.attacked)}
    found = bootstrap(rows, resampling)
    steps = [
        found["b", place] / found["b", 0] - found["a", place] / found["a", 0] for place in range(3)
    ]
    draws = [step.draws for step in steps if step.draws is not None]
    assert len(draws) == 3
    value = (steps[0].value + 4 * steps[1].value + steps[2].value) / 6
    return Figure(value, (draws[0] + 4 * draws[1] + draws[2]) / 6, 20, resampling)


def test_intervals_are_of_the_same_draws() -> None:
    curve, resampling = made_up([16, 12, 4], [12, 4, 2], [1.0, 0.4, 0.0]), Resampling(seed=3)
    found = score_curve(curve, 5, ScoringOptions(above_chance=False, resampling=resampling))["s3"]
    expected = by_figures(curve, resampling)
    assert found is not None
    assert found.value == pytest.approx(expected.value)
    assert found.interval is not None
    assert expected.interval is not None
    assert found.interval.low == pytest.approx(expected.interval.low)
    assert found.interval.high == pytest.approx(expected.interval.high)
    assert found.interval.low < found.value < found.interval.high


def test_no_interval_where_a_draw_has_no_score() -> None:
    close = made_up([16, 12, 4], [3, 2, 0], [1.0, 0.4, 0.0])  # 3 of 20: often 2 or fewer
    found = score_curve(close, 10, ScoringOptions())
    assert found["s2"] is not None
    assert found["s2"].interval is None
    assert found["s1"] is not None
    assert found["s1"].interval is not None


def test_of_a_real_network() -> None:
    scores = score_layers(measure_curves(trained(), *data(), SHORT), PLAIN)
    kinds = {layer.layer: layer.kind for layer in scores}
    assert list(kinds) == ["stem", "block.first", "block.second", "head"]
    assert set(kinds.values()) <= {"fragile", "robust", "antifragile"}
    assert all(figure is not None for layer in scores for figure in layer.mean.values())
