import torch
from hypothesis import given
from hypothesis import strategies as st

from rwsstore.corruptions.ops.levels import from_levels, rounded, to_levels, truncated


@given(st.floats(-2, 3, width=32))
def test_truncation_is_a_level_at_or_just_under_the_number(value: float) -> None:
    (level,) = truncated(torch.tensor([value])).tolist()
    inside = min(max(value, 0.0), 1.0) * 255
    assert level in range(256)
    assert -1e-3 < inside - level < 1.0


@given(st.integers(0, 255))
def test_levels_come_back(level: int) -> None:
    number = from_levels(torch.tensor([float(level)]))
    assert to_levels(number).item() == truncated(number).item() == level
    assert torch.equal(rounded(number), number)


def test_rounding_takes_the_nearest_level() -> None:
    numbers = torch.tensor([0.4, 0.6, 99.5, 254.9, 300.0]) / 255
    assert torch.equal(rounded(numbers) * 255, torch.tensor([0.0, 1.0, 100.0, 255.0, 255.0]))
