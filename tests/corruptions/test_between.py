"""Severities between two steps."""

import itertools

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.corruptions import CORRUPTIONS, corrupt, severity_table
from rwsstore.corruptions.keys import Setting
from rwsstore.corruptions.rows import linear, liquid, whole_at, zoom_factors
from tests.corruptions.pictures import TABLES, keys_of, smooth_pictures

NAMES = tuple(CORRUPTIONS)
COUNTS = {"glass_blur": (1, 2), "motion_blur": (0,), "snow": (4,), "jpeg_compression": (0,)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_whole_number_is_the_step_itself(name: str, severity: int) -> None:
    images = smooth_pictures(2)
    step = corrupt(images, name, severity, seed=3)
    assert torch.equal(corrupt(images, name, float(severity), seed=3), step)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", TABLES)
def test_every_rule_reaches_both_of_its_ends(name: str, table: str) -> None:
    rows, rule = severity_table(table).numbers[name], CORRUPTIONS[name].between
    for below, above in itertools.pairwise(rows):
        assert rule(below, above, 0.0) in (None, pytest.approx(below))
        assert rule(below, above, 1.0) in (None, pytest.approx(above))


@pytest.mark.parametrize("name", NAMES)
@given(share=st.floats(0, 1), place=st.integers(0, 3), table=st.sampled_from(TABLES))
def test_every_constant_stays_between_its_neighbours(
    name: str, share: float, place: int, table: str
) -> None:
    rows = severity_table(table).numbers[name]
    below, above = rows[place], rows[place + 1]
    mixed = CORRUPTIONS[name].between(below, above, share)
    if mixed is None:
        assert name in ("defocus_blur", "spatter")
        return
    low, high = min(min(below), min(above)), max(max(below), max(above))
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in mixed)
    assert all(mixed[at] == int(mixed[at]) for at in COUNTS.get(name, ()))


def test_constants_go_in_a_straight_line() -> None:
    assert linear((0.04,), (0.06,), 0.5) == pytest.approx((0.05,))
    assert linear((1.0, 8.0), (2.0, 4.0), 0.25) == pytest.approx((1.25, 7.0))


def test_counts_are_rounded_and_a_half_goes_up_a_severity() -> None:
    rule = whole_at(1, 2)
    assert rule((0.6, 1, 2), (0.8, 2, 1), 0.5) == pytest.approx((0.7, 2, 1))
    assert rule((0.6, 1, 2), (0.8, 2, 1), 0.49)[1:] == (1, 2)
    assert whole_at(0)((15, 5), (20, 8), 0.35)[0] == 17


def test_zoom_factors_stay_evenly_spaced_from_one() -> None:
    rows = severity_table("cifar").numbers["zoom_blur"]
    mixed = zoom_factors(rows[0], rows[1], 0.5)
    assert len(mixed) == 10  # between 7 and 12
    assert mixed[0] == 1.0
    assert mixed[-1] == pytest.approx(1.085)
    steps = [high - low for low, high in itertools.pairwise(mixed)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_spatter_is_interpolated_within_water_and_within_mud() -> None:
    rows = severity_table("cifar").numbers["spatter"]
    assert liquid(rows[1], rows[2], 0.5) == pytest.approx((0.65, 0.2, 0.9, 0.695, 0.5, 0))
    assert liquid(rows[3], rows[4], 0.5) == pytest.approx((0.65, 0.1, 0.6, 0.685, 0.6, 1))
    assert liquid(rows[2], rows[3], 0.5) is None


@pytest.mark.parametrize(("name", "step"), [("defocus_blur", 3), ("spatter", 3)])
def test_images_are_mixed_where_no_constants_lie_between(name: str, step: int) -> None:
    images = smooth_pictures(3, seed=4)
    row, table = CORRUPTIONS[name], severity_table("cifar")
    ends = [
        row.function(images, Setting(numbers, keys_of(name, step, 3), table)).float()
        for numbers in table.numbers[name][step - 1 : step + 1]
    ]
    made = corrupt(images, name, step + 0.25, seed=0)
    assert float((made - (0.75 * ends[0] + 0.25 * ends[1])).abs().max()) <= 0.51


@pytest.mark.parametrize(
    "name", ["gaussian_noise", "brightness", "gaussian_blur", "contrast", "defocus_blur"]
)
def test_the_change_grows_with_the_severity(name: str) -> None:
    images = smooth_pictures(4)
    changes = [
        (corrupt(images, name, severity, seed=0).float() - images).square().mean()
        for severity in (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5)
    ]
    assert changes == sorted(changes)


def test_in_between_the_numbers_drawn_are_those_of_the_step_below() -> None:
    images = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    noise = [corrupt(images, "gaussian_noise", s, seed=0).double() - 128 for s in (2, 2.5, 3)]
    flat = torch.stack(noise).flatten(1)
    likeness = torch.corrcoef(flat)
    assert likeness[0, 1] > 0.99
    assert abs(likeness[0, 2]) < 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", TABLES)
def test_all_work_in_between(name: str, table: str) -> None:
    images = smooth_pictures(1)
    for severity in (1.5, 2.1, 3.49, 3.5, 4.9):
        assert corrupt(images, name, severity, seed=0, table=table).shape == images.shape
