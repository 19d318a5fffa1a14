import cv2
import numpy as np
import pytest
import torch

from rwsstore.corruptions import SEVERITIES, corrupt
from rwsstore.corruptions.weather import mud_cover, water_cover
from tests.corruptions.pictures import (
    Floats,
    as_levels,
    as_pictures,
    blurred_by_skimage,
    keys_of,
    numbers_of,
    smooth_pictures,
)


def liquid_layers(severity: int, count: int) -> Floats:
    mean, deviation, sigma, threshold, _, _ = numbers_of("spatter", severity)
    noise = keys_of("spatter", severity, count).normal(32, 32).double().numpy()
    layers = np.stack([blurred_by_skimage(mean + deviation * layer, sigma) for layer in noise])
    layers[layers < threshold] = 0
    return layers


def water_by_opencv(layer: Floats, gain: float) -> Floats:
    liquid = (layer * 255 + 1e-3).astype(np.int64).astype(np.uint8)  # wraps above 255
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    relief = cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8)
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    embossed = cv2.filter2D(cv2.equalizeHist(relief), cv2.CV_8U, emboss)
    light = liquid * np.asarray(cv2.blur(embossed, (3, 3)), dtype=np.float64)
    return np.asarray(light / light.max() * gain)


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_is_made_as_opencv_makes_it(severity: int) -> None:
    # On 8-bit levels already, so that both sides look for edges in the same numbers.
    layers = np.floor(liquid_layers(severity, 40) * 255) / 255
    gain = numbers_of("spatter", severity)[4]
    found = water_cover(torch.from_numpy(layers).float(), gain).numpy()
    expected = np.stack([water_by_opencv(layer, gain) for layer in layers])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("severity", [4, 5])
def test_mud_covers_as_the_formula_says(severity: int) -> None:
    layers = liquid_layers(severity, 4)
    threshold, sigma = numbers_of("spatter", severity)[3:5]
    found = mud_cover(torch.from_numpy(layers).float(), sigma).numpy()
    expected = np.stack([blurred_by_skimage(layer > threshold, sigma) for layer in layers])
    expected[expected < 0.8] = 0
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < float((found > 0).mean()) < 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_water_is_pale_turquoise_and_mud_is_brown(severity: int) -> None:
    images = smooth_pictures(12)
    layers = liquid_layers(severity, 12)
    _, _, _, threshold, strength, is_mud = numbers_of("spatter", severity)
    found = as_pictures(corrupt(images, "spatter", severity, seed=0))
    x = as_pictures(images) / 255
    if is_mud:
        cover = np.stack([blurred_by_skimage(layer > threshold, strength) for layer in layers])
        cover[cover < 0.8] = 0
        exact = x * (1 - cover[..., None]) + cover[..., None] * np.array([63, 42, 20]) / 255
    else:
        light = np.stack([water_by_opencv(layer, strength) for layer in layers])
        exact = x + light[..., None] * np.array([175, 238, 238]) / 255
    difference = np.abs(found.astype(int) - as_levels(exact * 255).astype(int))
    assert float((difference > 1).mean()) < 0.02


def test_an_empty_layer_changes_nothing() -> None:
    cover = water_cover(torch.zeros(2, 16, 16), 0.5)
    assert bool((cover == 0).all())
