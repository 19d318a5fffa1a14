import torch
from hypothesis import given, strategies as st

from rwsstore.corruptions.filters import floats, rounded, to_levels, truncated


@given(st.floats(-500, 800, width=32))
def test_truncation_is_a_level_at_or_just_under_the_number(value: float) -> None:
    (level,) = truncated(torch.tensor([value])).tolist()
    inside = min(max(value, 0.0), 255.0)
    assert level in range(256)
    assert -1e-3 < inside - level < 1.0


@given(st.integers(0, 255))
def test_levels_come_back(level: int) -> None:
    one = torch.tensor([level], dtype=torch.uint8)
    assert torch.equal(to_levels(floats(one) / 255), one)
    assert torch.equal(truncated(floats(one)), one)
    assert torch.equal(truncated(floats(one) + 0.99), one)
    assert torch.equal(rounded(floats(one)), one)


def test_rounding_takes_the_nearest_level() -> None:
    numbers = torch.tensor([0.4, 0.6, 99.5, 254.9, 300.0])
    assert rounded(numbers).tolist() == [0, 1, 100, 255, 255]
