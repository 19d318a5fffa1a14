"""Settings of the REST benchmark."""

from pathlib import Path

import pytest
from serve import ROWS, Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threads": 0}, "threads is 0; expected 1 or more"),
        ({"repeats": 0}, "repeats is 0; expected 1 or more"),
        ({"clients": -1}, "clients is -1; expected 1 or more"),
        ({"seconds": 0.0}, "seconds is 0.0; expected more than 0"),
        ({"seconds": float("nan")}, "seconds is nan; expected more than 0"),
        ({"width": -1.0}, "width is -1.0; expected more than 0"),
        ({"warm_up": -0.1}, "warm_up is -0.1; expected 0 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**values)  # type: ignore[arg-type]  # some are whole numbers


def test_the_smoke_test_is_small() -> None:
    full, smoke = Settings(), Settings.for_smoke(rivals_python=Path("python"))
    assert smoke.smoke
    assert not full.smoke
    assert smoke.rivals_python == Path("python")
    assert smoke.width < full.width == 1.0
    assert smoke.seconds < 1 < full.seconds
    assert full.clients == 16


def test_rows_have_the_names_that_are_asked_for() -> None:
    assert set(ROWS) == {
        "rest_vs_ceiling",
        "rest_vs_litserve",
        "rest_vs_bentoml",
        "rest_vs_fastapi",
        "p99_under_changes",
    }
