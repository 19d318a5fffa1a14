import json
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from rwsstore.errors import ConfigError
from rwsstore.patches import CardPoint, RobustnessCard


def card(*points: tuple[float, float]) -> RobustnessCard:
    """A card of (α, TA)."""
    return RobustnessCard(
        images=100, points=tuple(CardPoint(alpha=alpha, ta=ta, ra=50.0) for alpha, ta in points)
    )


FALLING = card((0.0, 90.0), (0.5, 89.0), (1.0, 86.0), (1.5, 80.0))


@pytest.mark.parametrize(
    ("loss", "alpha"),
    [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (2.5, 0.75), (4.0, 1.0), (7.0, 1.25), (10.0, 1.5)],
)
def test_piecewise_linear(loss: float, alpha: float) -> None:
    assert FALLING.alpha_for(loss, at_most=2.0) == pytest.approx(alpha)


def test_never_beyond_the_grid_or_what_is_recommended() -> None:
    assert FALLING.alpha_for(50.0, at_most=9.0) == 1.5
    assert FALLING.alpha_for(50.0, at_most=1.0) == 1.0
    assert FALLING.alpha_for(0.5, at_most=0.1) == 0.1


def test_no_budget_for_a_patch_that_costs_at_once() -> None:
    assert FALLING.alpha_for(0.0, at_most=1.0) == 0.0


def test_no_budget_for_a_patch_that_gains_first() -> None:
    gaining = card((0.0, 80.0), (0.5, 82.0), (1.0, 78.0))
    assert gaining.alpha_for(0.0, at_most=2.0) == pytest.approx(0.75)


def test_a_dip_is_not_jumped_over() -> None:
    dip = card((0.0, 90.0), (0.5, 80.0), (1.0, 90.0))
    assert dip.alpha_for(1.0, at_most=1.0) == pytest.approx(0.05)
    assert dip.alpha_for(10.0, at_most=1.0) == 1.0


def test_a_flat_card_gives_all() -> None:
    assert card((0.0, 90.0), (1.0, 90.0)).alpha_for(0.0, at_most=1.0) == 1.0


# Eighths of a point, so that budgets and accuracies subtract exactly.
accuracies = st.integers(0, 800).map(lambda eighths: eighths / 8)
cards = st.lists(accuracies, min_size=2, max_size=6).map(
    lambda tas: card(*[(0.25 * place, ta) for place, ta in enumerate(tas)])
)


def accuracy_at(measured: RobustnessCard, alpha: float) -> float:
    for left, right in pairwise(measured.points):
        if alpha <= right.alpha:
            share = (alpha - left.alpha) / (right.alpha - left.alpha)
            return left.ta + share * (right.ta - left.ta)
    return measured.points[-1].ta


@settings(deadline=None)
@given(cards, accuracies)
def test_no_strength_up_to_the_answer_costs_more(measured: RobustnessCard, loss: float) -> None:
    answer = measured.alpha_for(loss, at_most=5.0)
    floor = measured.points[0].ta - loss - 1e-9
    below = [point.alpha for point in measured.points if point.alpha <= answer]
    assert all(accuracy_at(measured, alpha) >= floor for alpha in [*below, answer])


@settings(deadline=None)
@given(cards, accuracies)
def test_a_larger_strength_would_cost_more(measured: RobustnessCard, loss: float) -> None:
    answer = measured.alpha_for(loss, at_most=5.0)
    if answer == measured.points[-1].alpha:
        return
    left, right = next(
        pair for pair in pairwise(measured.points) if pair[0].alpha <= answer < pair[1].alpha
    )
    assert right.ta < measured.points[0].ta - loss
    assert accuracy_at(measured, answer) == pytest.approx(measured.points[0].ta - loss, abs=1e-6)
    assert left.ta >= right.ta


@settings(deadline=None)
@given(cards, accuracies, accuracies)
def test_a_larger_budget_never_gives_less(
    measured: RobustnessCard, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert measured.alpha_for(less, at_most=1.0) <= measured.alpha_for(more, at_most=1.0) + 1e-12


@pytest.mark.parametrize("loss", [-0.1, float("nan"), float("inf"), float("-inf")])
def test_a_budget_that_is_no_number_of_points_is_refused(loss: float) -> None:
    with pytest.raises(ConfigError, match="expected a finite number of points, 0 or more"):
        FALLING.alpha_for(loss, at_most=1.0)


@pytest.mark.parametrize(
    ("points", "match"),
    [
        ([], "at least 2"),
        ([(0.0, 90.0)], "at least 2"),
        ([(0.5, 90.0), (1.0, 80.0)], "first point of a card is α = 0"),
        ([(0.0, 90.0), (1.0, 80.0), (0.5, 85.0)], "rising α"),
        ([(0.0, 90.0), (0.5, 80.0), (0.5, 80.0)], "rising α"),
        ([(0.0, 90.0), (0.5, 100.5)], "less than or equal to 100"),
        ([(0.0, -1.0), (0.5, 50.0)], "greater than or equal to 0"),
        ([(0.0, float("nan")), (0.5, 50.0)], "finite number"),
        ([(0.0, 90.0), (float("inf"), 50.0)], "less than or equal to 1000000|finite number"),
    ],
)
def test_grids_that_are_refused(points: list[tuple[float, float]], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        card(*points)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        RobustnessCard(images=0, points=FALLING.points)


def test_negative_zero_is_zero() -> None:
    point = CardPoint(alpha=-0.0, ta=-0.0, ra=-0.0)
    assert json.loads(point.model_dump_json()) == {"alpha": 0.0, "ta": 0.0, "ra": 0.0}
    assert "-" not in point.model_dump_json()
