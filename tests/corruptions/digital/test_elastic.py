import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from rwsstore.corruptions import SEVERITIES, corrupt
from rwsstore.corruptions.digital import affine_sources
from tests.corruptions.pictures import (
    TABLES,
    as_pictures,
    blurred_by_skimage,
    keys_of,
    numbers_of,
    smooth_pictures,
)


def test_the_affine_warp_takes_three_points_where_they_move() -> None:
    moves = np.random.default_rng(0).uniform(-2.5, 2.5, (1, 3, 2))
    rows, columns = affine_sources(torch.from_numpy(moves), 32, 44)
    centre, third = np.array([22, 16]), 10
    before = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    matrix = cv2.getAffineTransform(
        before.astype(np.float32), (before + moves[0]).astype(np.float32)
    )
    back = cv2.invertAffineTransform(matrix)
    x, y = np.meshgrid(np.arange(44), np.arange(32))
    expected = np.tensordot(back, np.stack([x, y, np.ones_like(x)]), axes=1)
    np.testing.assert_allclose(columns[0].numpy(), expected[0], atol=1e-4)
    np.testing.assert_allclose(rows[0].numpy(), expected[1], atol=1e-4)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_is_an_affine_warp_and_a_smoothed_displacement(severity: int, table: str) -> None:
    size = 48
    images = smooth_pictures(2, size, size)
    amplitude, sigma, jitter = numbers_of("elastic_transform", severity, table)
    keys = keys_of("elastic_transform", severity, 2)
    moves = (keys.uniform(3, 2).double() * 2 - 1) * jitter
    warp_rows, warp_columns = affine_sources(moves, size, size)
    chance = keys.uniform(2, size, size, stream=1).double().numpy() * 2 - 1
    found = as_pictures(corrupt(images, "elastic_transform", severity, seed=0, table=table))
    for number, picture in enumerate(as_pictures(images)):
        dx, dy = (
            blurred_by_skimage(field, sigma, mode="reflect", truncate=3) * amplitude
            for field in chance[number]
        )
        rows, columns = np.arange(size)[:, None] + dy, np.arange(size) + dx
        for channel in range(3):
            warped = map_coordinates(
                picture[..., channel].astype(np.float64),
                [warp_rows[number].numpy(), warp_columns[number].numpy()],
                order=1,
                mode="mirror",
            )
            exact = map_coordinates(warped, [rows, columns], order=1, mode="reflect")
            difference = np.abs(found[number, ..., channel] - np.floor(exact))
            assert float(difference.max()) <= 2
            assert float((difference > 0).mean()) < 0.02


def test_the_first_warp_is_close_to_opencvs() -> None:
    """OpenCV rounds source positions to 1/32 pixel, so only close."""
    images = smooth_pictures(2)
    jitter = numbers_of("elastic_transform", 1)[2]
    moves = (keys_of("elastic_transform", 1, 2).uniform(3, 2).numpy() * 2 - 1) * jitter
    found = as_pictures(corrupt(images, "elastic_transform", 1, seed=0))
    before = (16 + 10 * np.array([[1, 1], [1, -1], [-1, -1]])).astype(np.float32)
    for warped, picture, move in zip(found, as_pictures(images), moves, strict=True):
        matrix = cv2.getAffineTransform(before, before + move)
        expected = cv2.warpAffine(
            picture.astype(np.float32), matrix, (32, 32), borderMode=cv2.BORDER_REFLECT_101
        )
        assert float(np.abs(warped - expected).mean()) < 1.5
