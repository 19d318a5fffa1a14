import pytest
from hypothesis import given, strategies as st

from rwsstore.errors import ConfigError
from rwsstore.measure.adversarial import DEFAULT_BUDGETS, parse_budgets
from rwsstore.measure.adversarial.report import budget_name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("8/255", (8 / 255,)),
        ("8/255, 2/255", (2 / 255, 8 / 255)),
        ("0.03,.5,1", (0.03, 0.5, 1.0)),
        ("1e-3", (0.001,)),
        ("0.5 / 2", (0.25,)),
    ],
)
def test_fractions_and_decimals_are_read(text: str, wanted: tuple[float, ...]) -> None:
    assert parse_budgets(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "8/", "/255", "0", "0/255", "1/0", "-1", "nan", "inf", "1e400", "8/255,8/255",
     "1/255,0.5/127.5", "a", "1/2/3", "1_0", "٣", "1,", "9" * 400],
)  # fmt: skip
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="epsilon"):
        parse_budgets(text)


@given(st.integers(1, 254))
def test_a_name_is_read_back_as_the_budget(steps: int) -> None:
    assert budget_name(steps / 255) == f"{steps}/255"
    assert parse_budgets(budget_name(steps / 255)) == (steps / 255,)


def test_other_budgets_are_written_as_they_are() -> None:
    assert [budget_name(one) for one in (0.5, 1.0, 0.0301, 2.0)] == ["0.5", "1", "0.0301", "2"]


def test_the_defaults_grow() -> None:
    for budgets in DEFAULT_BUDGETS.values():
        assert list(budgets) == sorted(set(budgets))
