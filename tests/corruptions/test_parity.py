"""The benchmark of parity, in small: fewer images, wider tolerances, no trained classifier."""

import pytest
from corruption_parity import compare, load

from rwsstore.corruptions import CORRUPTIONS

_, _, IMAGES, _ = load("digits", 16, 64)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_agrees_with_its_reference(name: str) -> None:
    rows = list(compare(IMAGES, lambda images: 0.0, (name,)))
    assert rows
    for row in rows:
        found = row.figures
        if "worst" in found:
            assert row.holds
            assert found["differing"] < 0.25  # whole levels, which references miss by a rounding
        else:
            assert abs(found["mean"]) < 5
            assert abs(found["deviation"]) < 0.08
            assert found["spectrum"] < 0.4
