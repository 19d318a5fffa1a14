import pytest
import torch

from rwsstore.probes.comparison import matrix_lines


@pytest.mark.parametrize("count", [2, 15, 16, 19, 20])
def test_up_to_20_columns_fit_a_terminal(count: int) -> None:
    values = torch.full((count, count), -23.4)
    lines = matrix_lines(values, ["elastic_transform"] * count, [str(n) for n in range(count)])
    assert len(lines) == count + 1
    assert {len(line) for line in lines} == {20 + count * (4 if count <= 15 else 3)}
    assert len(lines[0]) <= 80
    assert lines[1].count("-23") == count


def test_rows_are_numbered_and_unknown_values_are_dots() -> None:
    values = torch.tensor([[1.0, -0.4], [torch.nan, 100.0]])
    lines = matrix_lines(values, ["fog", "a_name_that_is_far_too_long"], ["1", "TA"])
    assert lines == [
        "                       1  TA",
        " 1 fog                 1   0",
        " 2 a_name_that_is_…    . 100",
    ]


def test_the_diagonal_may_be_left_out() -> None:
    lines = matrix_lines(torch.ones(2, 2), ["a", "b"], ["1", "2"], blank_diagonal=True)
    assert [line.split()[2:] for line in lines[1:]] == [[".", "1"], ["1", "."]]
