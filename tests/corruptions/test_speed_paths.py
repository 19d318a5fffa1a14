"""What the fast paths rest on: arithmetic that does not depend on where a number lies."""

import numpy as np
import pytest
import torch
from scipy import stats

from rwsstore.corruptions.blur import Surround, disc_area, half_widths
from rwsstore.corruptions.noise import photon_levels
from tests.corruptions.pictures import smooth_pictures


def test_fused_sums_round_alike_everywhere_in_a_tensor() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 4000, generator=generator).unbind()
    whole = first.clone().add_(second, alpha=0.1234567)
    for start in (0, 1, 7, 64):
        for count in range(1, 70):
            part = slice(start, start + count)
            assert torch.equal(first[part].clone().add_(second[part], alpha=0.1234567), whole[part])
    strided = first[::3].clone().add_(second[::3], alpha=0.1234567)
    assert torch.equal(strided, whole[::3])


@pytest.mark.parametrize("radius", [1, 1.5, 2.5, 3, 6, 8, 10])
def test_discs_are_summed_exactly(radius: float) -> None:
    image = smooth_pictures(1, 20, 23)
    reach = int(radius)
    padded = np.pad(image[0].numpy().astype(int), ((0, 0), *[(reach + 1,) * 2] * 2), "reflect")
    places = np.arange(-reach, reach + 1)
    disc = places[:, None] ** 2 + places**2 <= radius**2
    assert disc.sum() == disc_area(radius)
    windows = np.lib.stride_tricks.sliding_window_view(padded, disc.shape, axis=(1, 2))
    expected = (windows * disc).sum((-2, -1))
    assert np.array_equal(Surround(image, radius, 1).disc().numpy(), expected)


def test_rims_and_tips_are_summed_exactly() -> None:
    image = smooth_pictures(1, 30, 30)
    around = Surround(image, 8, 1)
    half = half_widths(8)[1]
    padded = np.pad(image[0].numpy().astype(int), ((0, 0), (9, 9), (9, 9)), "reflect")
    row, column = 12, 17  # of the image; 9 more in the padded one
    centre = padded[:, row : row + 19, column : column + 19]
    line = slice(9 - half, 9 + half + 1)
    rim = centre[:, [1, 17], line].sum((1, 2)) + centre[:, line, [1, 17]].sum((1, 2))
    tips = centre[:, [0, 18, 9, 9], [9, 9, 0, 18]].sum(1)
    assert np.array_equal(around.rim()[:, row, column].numpy(), rim)
    assert np.array_equal(around.tips()[:, row, column].numpy(), tips)


@pytest.mark.parametrize("count", [3.0, 12.0, 60.0, 500.0])
def test_photons_are_poissons_quantiles(count: float) -> None:
    levels = photon_levels(count).view(256, -1).numpy()
    chances = (np.arange(16384) + 0.5) / 16384
    for level in (0, 1, 60, 128, 255):
        photons = stats.poisson.ppf(chances, level / 255 * count)
        expected = np.floor(np.minimum(photons / count, 1) * 255 + 1e-9)
        assert np.mean(levels[level] != expected) < 2e-4  # ties of two ways to add up
