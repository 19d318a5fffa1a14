"""Numbers of the pages of CLAT: what is said of them."""

import pytest
import torch

from benchmarks.paper.clat import attacks_of
from benchmarks.paper.clat_tables import clat_as_victim, margin
from benchmarks.paper.pages import Gain, points, told
from rwsstore.measure import Figure, Resampling


def figure(value: float, *draws: float) -> Figure:
    drawn = torch.tensor(draws, dtype=torch.float64) if draws else None
    return Figure(value, drawn, 10, Resampling(40))


@pytest.mark.parametrize(
    ("gain", "strictly", "word"),
    [
        (figure(1.0, 0.5, 1.5), True, "Holds"),
        (figure(1.0, -0.5, 2.5), True, "Holds in the mean alone"),
        (figure(-0.1, -0.5, 2.5), True, "Does not hold"),
        (figure(0.0, 0.0, 0.0), True, "Does not hold"),
        (figure(0.0, 0.0, 0.0), False, "Holds"),
        (figure(0.0, -1.0, 1.0), False, "Holds in the mean alone"),
        (figure(-2.0, -3.0, -1.0), False, "Does not hold"),
        (figure(1.0), True, "Holds"),
        (figure(1e-14, 1e-14, 1e-14), True, "Does not hold"),
        (figure(-1e-14, -1e-14, -1e-14), False, "Holds"),
    ],
)
def test_verdicts(gain: Figure, strictly: bool, word: str) -> None:
    assert Gain(gain, strictly=strictly).verdict == word


def test_numbers_in_words() -> None:
    assert points(figure(-1.25, -2.0, 0.5)) == "−1.2 (−1.9 to +0.4)"
    assert points(figure(2.0)) == "+2.0"
    assert points(figure(-1e-14, -0.04, -0.04)) == "+0.0 (+0.0 to +0.0)"
    assert told(figure(31.26, 30.0, 32.0)).startswith("31.3 (30.")


def test_the_attacks_are_those_of_the_settings() -> None:
    attacks = attacks_of(0.03, 20, 100)
    assert [(name, getattr(one, "steps", 0)) for name, one in attacks.items()] == [
        ("pgd", 20), ("apgd", 100),
    ]  # fmt: skip
    assert {one.epsilon for one in attacks.values()} == {0.03}


def test_the_black_box_in_numbers() -> None:
    names = ("a: AT", "a: CLAT", "b: AT", "b: CLAT")
    white = {"a: AT": 20.0, "a: CLAT": 30.0, "b: AT": 25.0, "b: CLAT": 28.0}
    matrix = {
        (one, other): figure(white[other] if one == other else 60.0 + 2 * ("CLAT" in other))
        for one in names
        for other in names
    }
    matrix["b: AT", "a: CLAT"] = figure(29.0)  # one below the white box
    assert margin(matrix, names).value == -1.0
    assert Gain(margin(matrix, names)).verdict == "Does not hold"
    # b's two victims gain 2 each from a's two, a's gain 2 from b: CLAT and lose 31 from b: AT.
    assert clat_as_victim(matrix, names).value == pytest.approx((2 + 2 + 2 - 31) / 4)
