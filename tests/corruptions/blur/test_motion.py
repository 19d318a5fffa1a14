import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.ops.test_streaks import streak_pixel_by_pixel
from tests.corruptions.pictures import keys_of, largest_difference, numbers_of, smooth_pictures


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_blur_is_a_rounded_streak_along_the_drawn_angle(severity: int) -> None:
    images = smooth_pictures(2, 16, 16)
    radius, sigma = numbers_of("motion_blur", severity)
    chance = keys_of("motion_blur", severity, 2).uniform(1)[:, 0].double().tolist()
    found = corrupt(images, "motion_blur", severity, seed=0).numpy()
    for image, share, blurred in zip(images.double().numpy(), chance, found, strict=True):
        degrees = 90 * share - 45
        expected = np.stack(
            [streak_pixel_by_pixel(plane, degrees, int(radius), sigma) for plane in image]
        )
        assert largest_difference(blurred, np.rint(expected).astype(np.uint8)) <= 1
        assert float(np.abs(blurred - expected).mean()) < 0.3
