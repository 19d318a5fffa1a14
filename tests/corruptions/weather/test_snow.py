import cv2
import numpy as np
import pytest

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.ops.test_resampling import zoomed_by_scipy
from tests.corruptions.ops.test_streaks import streak_pixel_by_pixel
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    keys_of,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_is_smeared_flakes_over_a_whitened_scene(severity: int) -> None:
    images = smooth_pictures(2, 20, 20)
    mean, deviation, zoom, threshold, radius, sigma, weight = numbers_of("snow", severity)
    keys = keys_of("snow", severity, 2)
    layers = keys.normal(1, 20, 20, stream=0).double().numpy()[:, 0] * deviation + mean
    angles = -135 + 90 * keys.uniform(1, stream=1)[:, 0].double().numpy()
    found = as_pictures(corrupt(images, "snow", severity, seed=0))
    for snowy, picture, layer, angle in zip(
        found, as_pictures(images), layers, angles, strict=True
    ):
        layer = zoomed_by_scipy(layer, zoom)
        layer[layer < threshold] = 0
        flakes = np.floor(np.clip(layer, 0, 1) * 255 + 1e-3)
        flakes = np.rint(streak_pixel_by_pixel(flakes, angle, int(radius), sigma)) / 255
        x = (picture / 255).astype(np.float32)
        grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
        scene = weight * x + (1 - weight) * np.maximum(x, grey * 1.5 + 0.5)
        exact = scene + (flakes + np.rot90(flakes, k=2))[..., None]
        assert largest_difference(snowy, as_levels(exact * 255)) <= 2


def test_flakes_fall() -> None:
    """Smeared mostly from top to bottom: neighbours in a column are more alike than in a row."""
    snowy = corrupt(smooth_pictures(30) // 255, "snow", 5, seed=0).double()
    down = (snowy[:, :, 1:] - snowy[:, :, :-1]).square().mean()
    across = (snowy[..., 1:] - snowy[..., :-1]).square().mean()
    assert float(down) < 0.5 * float(across)
