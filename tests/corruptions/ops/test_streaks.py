import math

import numpy as np
import pytest
import torch

from rwsstore.corruptions.filters import streak_filter
from tests.corruptions.pictures import Floats


def streak_pixel_by_pixel(image: Floats, degrees: float, radius: int, sigma: float) -> Floats:
    """ImageMagick's motion blur, written with loops."""
    height, width = image.shape
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    result = np.zeros_like(image)
    for i, weight in enumerate(weights):
        down = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        right = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        for row in range(height):
            for column in range(width):
                source = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
                result[row, column] += weight / sum(weights) * image[source]
    return result


@pytest.mark.parametrize(("radius", "sigma"), [(6, 1.0), (9, 2.5), (14, 12.0)])
def test_each_image_is_blurred_along_its_own_direction(radius: int, sigma: float) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 9, 13)).astype(np.float64)
    degrees = [-45.0, 30.5, -90.0, -133.3]
    result = streak_filter(
        torch.from_numpy(images).float(), torch.tensor(degrees).double(), radius, sigma
    )
    for image, degree, blurred in zip(images, degrees, result, strict=True):
        expected = streak_pixel_by_pixel(image[0], degree, radius, sigma)
        np.testing.assert_allclose(blurred[0].numpy(), expected, atol=0.02)


def test_adding_images_and_picking_pixels_is_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 30, 40), generator=generator).float()
    degrees = torch.tensor([10.0, -45.0, 10.0, 44.0, 10.2]).double()
    whole = streak_filter(images, degrees, 9, 2.5)  # large enough for adding images
    single = streak_filter(images[:, :1], degrees, 9, 2.5)
    assert torch.equal(whole[:, :1], single)
