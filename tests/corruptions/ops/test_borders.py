from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.corruptions.filters import Border, fold_index, padded

NUMPY_MODES = {"nearest": "edge", "reflect": "symmetric", "mirror": "reflect"}


@pytest.mark.parametrize("border", get_args(Border))
@given(size=st.integers(1, 7), reach=st.integers(0, 20))
def test_borders_are_numpys(border: Border, size: int, reach: int) -> None:
    expected = np.pad(np.arange(size), reach, mode=NUMPY_MODES[border])  # type: ignore[call-overload]  # numpy types its modes one by one
    index = fold_index(torch.arange(-reach, size + reach), size, border)
    assert index.tolist() == expected.tolist()


def test_padding_extends_each_side_by_its_own_amount() -> None:
    image = torch.arange(6.0).view(1, 2, 3)
    expected = np.pad(image.numpy(), ((0, 0), (1, 0), (2, 1)), mode="edge")
    assert np.array_equal(padded(image, 1, 0, 2, 1, "nearest").numpy(), expected)
