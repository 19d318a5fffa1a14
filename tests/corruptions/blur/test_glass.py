from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rwsstore.corruptions import SEVERITIES, corrupt
from rwsstore.corruptions.blur import shuffle_offsets, shuffle_sources
from tests.corruptions.pictures import (
    as_levels,
    as_pictures,
    blurred_by_skimage,
    keys_of,
    largest_difference,
    numbers_of,
    smooth_pictures,
)

Integers = npt.NDArray[Any]


def shuffled_in_order(pixels: Integers, offsets: Integers, reach: int) -> Integers:
    """The released loop: each pixel in turn becomes a copy of a neighbour."""
    result = pixels.copy()
    height, width = pixels.shape[:2]
    for row in range(height - reach, reach, -1):
        for column in range(width - reach, reach, -1):
            right, down = offsets[:, row - reach - 1, column - reach - 1]
            result[row, column] = result[row + down, column + right]
    return result


@pytest.mark.parametrize("reach", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(14, 11), (9, 30)])
def test_sources_follow_the_released_loop(reach: int, height: int, width: int) -> None:
    inner = (3, 2, height - 2 * reach, width - 2 * reach)
    offsets = np.random.default_rng(0).integers(-reach, reach, inner, dtype=np.int32)
    sources = shuffle_sources(torch.from_numpy(offsets), reach, height, width)
    own = np.arange(height * width).reshape(height, width)
    for found, drawn in zip(sources.numpy(), offsets, strict=True):
        assert np.array_equal(found.reshape(height, width), shuffled_in_order(own, drawn, reach))


@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_neighbours_are_drawn_evenly(reach: int) -> None:
    offsets = shuffle_offsets(keys_of("glass_blur", 5, 20), 0, reach, 40, 40)
    values, counts = np.unique(offsets.numpy(), return_counts=True)
    assert values.tolist() == list(range(-reach, reach))
    np.testing.assert_allclose(counts / counts.sum(), 1 / (2 * reach), atol=0.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_is_blur_shuffle_blur(severity: int) -> None:
    images = smooth_pictures(3)
    sigma, reach, passes = numbers_of("glass_blur", severity)
    keys = keys_of("glass_blur", severity, 3)
    offsets = [
        shuffle_offsets(keys, number, int(reach), 32, 32).numpy() for number in range(int(passes))
    ]
    found = as_pictures(corrupt(images, "glass_blur", severity, seed=0))
    for place, (blurred, picture) in enumerate(zip(found, as_pictures(images), strict=True)):
        pixels = as_levels(blurred_by_skimage(picture / 255, sigma, channel_axis=-1) * 255 + 1e-3)
        moved = pixels.astype(np.int64)
        for one_pass in offsets:
            moved = shuffled_in_order(moved, one_pass[place], int(reach))
        expected = as_levels(blurred_by_skimage(moved / 255, sigma, channel_axis=-1) * 255)
        assert largest_difference(blurred, expected) <= 1
