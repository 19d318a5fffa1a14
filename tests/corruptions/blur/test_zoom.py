import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.ops.test_resampling import zoomed_by_scipy
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_averages_scipys_zooms(severity: int) -> None:
    images = smooth_pictures(3)
    factors = numbers_of("zoom_blur", severity)
    found = as_pictures(corrupt(images, "zoom_blur", severity, seed=0))
    for blurred, picture in zip(found, as_pictures(images), strict=True):
        planes = [picture[..., channel] / 255 for channel in range(3)]
        zooms = [np.stack([zoomed_by_scipy(p, f) for p in planes], axis=-1) for f in factors]
        exact = (picture / 255 + sum(zooms)) / (len(factors) + 1)
        assert largest_difference(blurred, as_levels(exact * 255)) <= 1
