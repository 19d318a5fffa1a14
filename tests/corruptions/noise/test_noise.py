"""Each noise against its formula in float64, given the same drawn numbers."""

import numpy as np
import pytest
import torch

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import keys_of, largest_difference, numbers_of, smooth_pictures

IMAGES = smooth_pictures(20)
X = IMAGES.double().numpy() / 255


def result_of(name: str, severity: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(corrupt(IMAGES, name, severity, seed=0).numpy())


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
def test_normal_noise(name: str, severity: int) -> None:
    (sigma,) = numbers_of(name, severity)
    noise = keys_of(name, severity, 20).normal(3, 32, 32).double().numpy() * sigma
    exact = X + (noise if name == "gaussian_noise" else X * noise)
    expected = (np.clip(exact, 0, 1) * 255).astype(np.uint8)
    found = result_of(name, severity)
    assert largest_difference(found, expected) <= 1
    assert float(np.mean(found != expected)) < 0.002


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_counts_photons(severity: int) -> None:
    (count,) = numbers_of("shot_noise", severity)
    flat = torch.full((30, 3, 32, 32), 102, dtype=torch.uint8)
    found = corrupt(flat, "shot_noise", severity, seed=0).double().numpy()
    photons = np.ceil(found / 255 * count - 1e-6)
    assert np.array_equal(np.floor(photons / count * 255 + 1e-3), found)
    assert abs(photons.mean() / (0.4 * count) - 1) < 0.01
    assert abs(photons.var() / (0.4 * count) - 1) < 0.05


@pytest.mark.filterwarnings("ignore::rwsstore.corruptions.UnchangedWarning")
def test_no_light_makes_no_photons() -> None:
    dark = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert torch.equal(corrupt(dark, "shot_noise", 5, seed=0), dark)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_hits_its_share_with_salt_and_pepper(severity: int) -> None:
    (share,) = numbers_of("impulse_noise", severity)
    grey = torch.full((50, 3, 32, 32), 100, dtype=torch.uint8)
    found = corrupt(grey, "impulse_noise", severity, seed=0)
    salt, pepper = (found == 255).double().mean(), (found == 0).double().mean()
    assert abs(float(salt) / (share / 2) - 1) < 0.1
    assert abs(float(pepper) / (share / 2) - 1) < 0.1
    assert bool(((found == 100) | (found == 255) | (found == 0)).all())
