import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from rwsstore.corruptions.filters import Border, correlate, gaussian_filter

FIELD = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))


def test_correlation_is_opencvs() -> None:
    kernel = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    kernel[1, 2] = 0
    result = correlate(FIELD, kernel.tolist(), "mirror")
    expected = cv2.filter2D(FIELD[1, 2].numpy(), -1, kernel)
    np.testing.assert_allclose(result[1, 2].numpy(), expected, atol=1e-5)


def test_integers_stay_integers() -> None:
    levels = torch.arange(12, dtype=torch.int32).view(1, 3, 4)
    total = correlate(levels, ((1, 1, 1),) * 3, "nearest")
    assert total.dtype == torch.int32
    assert int(total[0, 1, 1]) == 9 * 5


@pytest.mark.parametrize("border", ["nearest", "reflect", "mirror"])
@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 2.5, 9.0, 40.0])
def test_gaussian_is_scipys(sigma: float, border: Border) -> None:
    result = gaussian_filter(FIELD, sigma, truncate=3.0, border=border)
    expected = ndimage.gaussian_filter(
        FIELD.double().numpy(), sigma, truncate=3.0, mode=border, axes=(2, 3)
    )
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
