import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_moves_pixels_to_the_channel_mean(severity: int) -> None:
    images = smooth_pictures(4)
    (factor,) = numbers_of("contrast", severity)
    x = as_pictures(images) / 255
    mean = x.mean(axis=(1, 2), keepdims=True)
    found = as_pictures(corrupt(images, "contrast", severity, seed=0))
    expected = as_levels(((x - mean) * factor + mean) * 255)
    assert largest_difference(found, expected) <= 1
    assert float(np.mean(found != expected)) < 0.01
