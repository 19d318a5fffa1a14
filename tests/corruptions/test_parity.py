"""The benchmark of parity, in small: fewer images, wider tolerances, no trained classifier."""

import pytest
from corruption_parity import Distribution, Pixels, compare, load

from rwsstore.corruptions import CORRUPTIONS

_, _, IMAGES, _ = load("digits", 16, 64)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_agrees_with_its_reference(name: str) -> None:
    rows = list(compare(IMAGES, lambda images: 0.0, (name,)))
    assert rows
    for row in rows:
        if isinstance(row, Pixels):
            assert row.holds()
            assert row.differing < 0.25  # whole levels, which the references miss by a rounding
        else:
            assert isinstance(row, Distribution)
            assert abs(row.mean) < 5
            assert abs(row.deviation) < 0.08
            assert row.spectrum < 0.4
