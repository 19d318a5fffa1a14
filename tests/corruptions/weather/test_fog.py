import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.ops.test_plasma import plasma_point_by_point
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    keys_of,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_is_plasma_scaled_to_the_brightest_value(severity: int) -> None:
    images = smooth_pictures(2)
    amount, decay = numbers_of("fog", severity)
    chance = keys_of("fog", severity, 2).uniform(1023).double().numpy()
    found = as_pictures(corrupt(images, "fog", severity, seed=0))
    for foggy, picture, drawn in zip(found, as_pictures(images), chance, strict=True):
        veil = plasma_point_by_point(drawn, 32, decay)
        veil = (veil - veil.min()) / np.ptp(veil)
        x = picture / 255
        exact = (x + amount * veil[..., None]) * x.max() / (x.max() + amount)
        assert largest_difference(foggy, as_levels(exact * 255)) <= 1
