from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rwsstore.corruptions import (
    SEVERITIES,
    corrupt,
    frost_source,
    load_frost_overlays,
    severity_table,
)
from rwsstore.corruptions.filters import luma
from rwsstore.corruptions.frost import PROFILES, crop_overlays, synthetic_frost
from tests.corruptions.pictures import TABLES, keys_of, numbers_of, smooth_pictures

# For each profile, the slope of the log power spectrum at 32, 64 and 224 px, as measured.
SLOPES = ((-1.1, -1.2, -1.7), (-1.0, -1.5, -2.4), (-0.6, -0.9, -2.1), (-1.1, -1.5, -1.9))
GREY_RANGES = ((109, 155), (170, 228), (114, 198), (61, 174))


def frost_by_profile(table: str, count: int) -> list[Tensor]:
    """Synthetic frost at the table's size, sorted into profiles by the drawn number."""
    side = severity_table(table).side
    keys = keys_of("frost", 1, count)
    ice = synthetic_frost(side, side, table, keys)
    bounds = torch.tensor([profile.share for profile in PROFILES]).cumsum(0)[:-1]
    choice = torch.bucketize(keys.uniform(3, stream=0)[:, 0].contiguous(), bounds, right=True)
    return [ice[choice == number] for number in range(len(PROFILES))]


def spectrum_slope(planes: Tensor) -> float:
    """Slope of the logarithm of radially averaged power over that of frequency."""
    side = planes.shape[-1]
    centred = planes - planes.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(centred.double()).abs().square().mean(0)
    line = torch.fft.fftfreq(side, 1 / side)
    radius = (line[:, None] ** 2 + line**2).sqrt().round()
    frequencies = np.arange(1, side // 2 + 1)
    means = [float(power[radius == frequency].mean()) for frequency in frequencies]
    return float(np.polyfit(np.log(frequencies), np.log(means), 1)[0])


def test_profiles_are_drawn_in_proportion() -> None:
    sizes = [len(group) for group in frost_by_profile("cifar", 500)]
    np.testing.assert_allclose(np.array(sizes) / 500, [0.2, 0.4, 0.2, 0.2], atol=0.06)


@pytest.mark.parametrize("number", range(4))
def test_colour_and_contrast_are_the_profiles(number: int) -> None:
    profile, ice = PROFILES[number], frost_by_profile("cifar", 400)[number]
    np.testing.assert_allclose(ice.mean((0, 2, 3)).numpy(), profile.rgb, atol=3)
    grey = luma(ice)[:, 0]
    assert abs(float(grey.std((1, 2)).mean()) / profile.deviation - 1) < 0.12
    low, high = np.percentile(grey.numpy(), [5, 95])
    np.testing.assert_allclose([low, high], GREY_RANGES[number], atol=7)


def test_no_place_in_the_image_is_special() -> None:
    """The fractal is 0, a ridge, in its own corner; shifting hides that."""
    for profile, ice in zip(PROFILES, frost_by_profile("cifar", 400), strict=True):
        corner = luma(ice)[:, 0, 0, 0]
        excess = float(corner.mean() - luma(ice).mean()) / profile.deviation
        assert abs(excess) < 0.4


@pytest.mark.parametrize("table", TABLES)
def test_spectra_fall_as_steeply_as_the_photographs(table: str) -> None:
    groups = frost_by_profile(table, 20 if table == "imagenet" else 150)
    for slopes, ice in zip(SLOPES, groups, strict=True):
        assert abs(spectrum_slope(luma(ice)[:, 0]) - slopes[TABLES.index(table)]) < 0.3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_frost_is_blended_with_the_released_weights(severity: int) -> None:
    images = smooth_pictures(3)
    first, second = numbers_of("frost", severity)
    ice = synthetic_frost(32, 32, "cifar", keys_of("frost", severity, 3))
    exact = (images.double() * first + ice.double() * second).clamp(0, 255)
    found = corrupt(images, "frost", severity, seed=0).double()
    assert float((found - exact.floor()).abs().max()) <= 1
    assert float((found - exact).abs().mean()) < 0.6


def photographs(folder: Path, count: int) -> None:
    pictures = smooth_pictures(count, 250, 300).permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"frost{number + 1}.png")


def test_overlays_are_read_in_order(tmp_path: Path) -> None:
    photographs(tmp_path, 6)
    (tmp_path / "notes.txt").write_text("not a photograph")
    overlays = load_frost_overlays(tmp_path)
    assert torch.equal(torch.stack(overlays), smooth_pictures(6, 250, 300))
    assert frost_source(tmp_path) == "overlays:6 files"
    assert frost_source() == "synthetic"


@pytest.mark.parametrize(("scale", "size"), [(0.2, 32), (0.3, 64), (1.0, 224)])
def test_crops_come_from_opencvs_resized_photographs(scale: float, size: int) -> None:
    overlays = tuple(smooth_pictures(6, 250, 300))
    keys = keys_of("frost", 2, 8)
    crops = crop_overlays(overlays, size, size, scale, keys)
    for crop, (row, column, choice) in zip(crops, keys.uniform(3).double().tolist(), strict=True):
        photo = overlays[int(choice * 5)].permute(1, 2, 0).numpy()
        small = cv2.resize(photo, (0, 0), fx=scale, fy=scale)
        top = int(row * max(1, small.shape[0] - size))
        left = int(column * max(1, small.shape[1] - size))
        expected = small[top : top + size, left : left + size].transpose(2, 0, 1)
        assert float(np.abs(crop.numpy() - expected).max()) <= 1


@pytest.mark.filterwarnings("ignore::rwsstore.corruptions.UnchangedWarning")
def test_the_sixth_photograph_is_never_taken() -> None:
    dark = torch.zeros(3, 200, 200, dtype=torch.uint8)
    images = torch.zeros(60, 3, 32, 32, dtype=torch.uint8)
    result = corrupt(images, "frost", 5, seed=0, frost_overlays=[dark] * 5 + [dark + 255])
    assert int(result.max()) == 0


def test_a_photograph_smaller_than_the_image_is_enlarged() -> None:
    overlay = smooth_pictures(1, 20, 10)[0]
    result = corrupt(smooth_pictures(2), "frost", 3, seed=0, frost_overlays=[overlay])
    assert result.shape == (2, 3, 32, 32)
