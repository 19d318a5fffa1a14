import numpy as np
import pytest
import torch
from skimage.color import hsv2rgb, rgb2hsv

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_raises_v_of_hsv(severity: int) -> None:
    images = smooth_pictures(4)
    images[0, :, :4] = 0
    images[0, :, 4:8] = 90
    (offset,) = numbers_of("brightness", severity)
    hsv = rgb2hsv(as_pictures(images) / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + offset, 0, 1)
    found = as_pictures(corrupt(images, "brightness", severity, seed=0))
    assert largest_difference(found, as_levels(hsv2rgb(hsv) * 255)) <= 1


def test_black_becomes_grey() -> None:
    black = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    assert bool((corrupt(black, "brightness", 5, seed=0) == int(0.3 * 255)).all())
