"""Where two recorded values differ first, in words."""

import pytest

from rwsstore.canonical import first_difference


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1}, None),
        ({"b": {"c": 1, "d": 2}}, {"b": {"c": 1, "d": 3}}, "b.d was 2, and is 3 now"),
        ({"a": 1}, {"a": 1, "b": 2}, "b was null, and is 2 now"),
        ({"z": 1, "a": 1}, {"z": 2, "a": 2}, "a was 1, and is 2 now"),
        ({"a": [1]}, {"a": {"b": 1}}, 'a was [1], and is {"b":1} now'),
    ],
)
def test_the_first_difference_is_named(found: object, wanted: object, said: str | None) -> None:
    assert first_difference(found, wanted) == said


def test_long_values_are_shortened() -> None:
    said = first_difference({"a": "x" * 500}, {"a": "y"})
    assert said is not None
    assert len(said) < 100
