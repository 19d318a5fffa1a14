"""Numbers of the pages of CLAT: what is kept, and what is said of it."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

import benchmarks.paper.clat_measuring as measuring
from benchmarks.paper.clat_blackbox import clat_as_victim, margin
from benchmarks.paper.clat_measuring import (
    attacks_of,
    packed,
    right_under,
    unpacked,
    with_worst,
)
from benchmarks.paper.pages import points, told, verdict
from rwsstore.attacks import Pgd
from rwsstore.files import Results
from rwsstore.measure import Figure, Resampling, correctness
from tests.benchmarks.making import TEST, Interrupted, kept_at_most, models


def figure(value: float, *draws: float) -> Figure:
    drawn = torch.tensor(draws, dtype=torch.float64) if draws else None
    return Figure(value, drawn, 10, Resampling(40))


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_rows_come_back_as_they_were(row: list[bool]) -> None:
    text = packed(torch.tensor(row))
    assert len(text) == -(-len(row) // 4)
    assert unpacked(text, len(row)).tolist() == row


def test_the_worst_is_what_everything_leaves() -> None:
    rows = {
        "clean": torch.tensor([True, True, False, True]),
        "pgd": torch.tensor([True, False, True, True]),
        "apgd": torch.tensor([True, True, True, False]),
    }
    assert with_worst(rows)["worst"].tolist() == [True, False, False, False]


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
    assert verdict(gain, strictly=strictly) == word


def test_numbers_in_words() -> None:
    assert points(figure(-1.25, -2.0, 0.5)) == "−1.2 (−1.9 to +0.4)"
    assert points(figure(2.0)) == "+2.0"
    assert points(figure(-1e-14, -0.04, -0.04)) == "+0.0 (+0.0 to +0.0)"
    assert told(figure(31.26, 30.0, 32.0)).startswith("31.3 (30.")


def test_a_measurement_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_CHUNK", 20)
    model, attack = models()[0], Pgd(0.05, steps=2)

    def measured(name: str) -> Tensor:
        results = Results(tmp_path / f"{name}.json", {})
        return right_under(results, "pgd", model, TEST, attack, seed=3)

    with kept_at_most(2), pytest.raises(Interrupted):
        measured("stopped")
    with kept_at_most(1):
        again = measured("stopped")
    assert again.equal(measured("whole"))
    by_hand = attack.perturb(model, TEST.images, TEST.labels, seed=3)
    assert again.equal(correctness(model, by_hand, TEST.labels))


def test_the_attacks_are_those_of_the_settings() -> None:
    attacks = attacks_of(0.03, 20, 100)
    assert attacks["clean"] is None
    assert [getattr(attacks[name], "steps", 0) for name in ("pgd", "apgd")] == [20, 100]
    assert {attacks[name].epsilon for name in ("pgd", "apgd")} == {0.03}  # type: ignore[union-attr]  # not the first


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
    assert verdict(margin(matrix, names)) == "Does not hold"
    # b's two victims gain 2 each from a's two, a's gain 2 from b: CLAT and lose 31 from b: AT.
    assert clat_as_victim(matrix, names).value == pytest.approx((2 + 2 + 2 - 31) / 4)
