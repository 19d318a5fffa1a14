import cv2
import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from rwsstore.corruptions.blur import disc_kernel
from tests.corruptions.pictures import (
    TABLES,
    Floats,
    as_levels,
    as_pictures,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


def kernel_by_opencv(radius: float, sigma: float) -> Floats:
    reach, side = (8, 3) if radius <= 8 else (int(radius), 5)
    columns, rows = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    disc = (columns**2 + rows**2 <= radius**2).astype(np.float64)
    return np.asarray(cv2.GaussianBlur(disc / disc.sum(), (side, side), sigmaX=sigma))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_blur_is_opencvs(table: str, severity: int) -> None:
    images = smooth_pictures(3, 40, 40)
    kernel = kernel_by_opencv(*numbers_of("defocus_blur", severity, table))
    found = as_pictures(corrupt(images, "defocus_blur", severity, seed=0, table=table))
    expected = np.stack(
        [
            as_levels(cv2.filter2D(picture / 255, -1, kernel) * 255)
            for picture in as_pictures(images)
        ]
    )
    assert largest_difference(found, expected) <= 1


def test_a_radius_below_one_leaves_the_small_gaussian() -> None:
    kernel = np.array(disc_kernel(0.3, 0.4))
    assert kernel.shape == (3, 3)
    line = cv2.getGaussianKernel(3, 0.4)
    np.testing.assert_allclose(kernel, line @ line.T, atol=1e-12)


@pytest.mark.parametrize(("radius", "taps"), [(1, 5), (1.5, 9)])
def test_small_discs_are_a_plus_and_a_box(radius: float, taps: int) -> None:
    kernel = np.array(disc_kernel(radius, 0.1))
    assert int((kernel > 0.01).sum()) == taps
    assert abs(float(kernel.sum()) - 1) < 1e-6
