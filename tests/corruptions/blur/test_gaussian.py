import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    blurred_by_skimage,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize(
    ("size", "table"), [(32, "cifar"), (64, "tiny_imagenet"), (48, "imagenet")]
)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_blur_is_skimages(size: int, table: str, severity: int) -> None:
    images = smooth_pictures(4, size, size)
    (sigma,) = numbers_of("gaussian_blur", severity, table)
    found = as_pictures(corrupt(images, "gaussian_blur", severity, seed=0, table=table))
    expected = np.stack(
        [
            as_levels(blurred_by_skimage(picture / 255, sigma, channel_axis=-1) * 255)
            for picture in as_pictures(images)
        ]
    )
    assert largest_difference(found, expected) <= 1
    assert float(np.mean(found != expected)) < 0.03
