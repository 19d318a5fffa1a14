import pytest
import torch

from rwsstore.errors import TensorError
from rwsstore.models.checkpoints import check_finite


def test_finite_and_integer_tensors_pass() -> None:
    check_finite({"a": torch.tensor([1e38, -0.0]), "n": torch.tensor(7), "e": torch.empty(0)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_names_the_tensor(value: float) -> None:
    state = {"good": torch.zeros(2), "bad": torch.tensor([1.0, value, value])}
    with pytest.raises(TensorError, match="bad: 2 of 3 values"):
        check_finite(state)
