import numpy as np
import pytest
import torch
from scipy import ndimage

from rwsstore.corruptions.filters import Border
from rwsstore.corruptions.resampling import centre_zoom, sample
from tests.corruptions.pictures import Floats

MODES: dict[Border, str] = {"nearest": "nearest", "reflect": "reflect", "mirror": "mirror"}


def zoomed_by_scipy(field: Floats, factor: float) -> Floats:
    size = field.shape[0]
    crop = int(np.ceil(size / factor))
    top = (size - crop) // 2
    large = ndimage.zoom(field[top : top + crop, top : top + crop], factor, order=1)
    trim = (large.shape[0] - size) // 2
    return np.asarray(large[trim : trim + size, trim : trim + size])


@pytest.mark.parametrize("size", [17, 32, 64])
@pytest.mark.parametrize("factor", [1.0, 1.01, 1.06, 1.25, 1.75, 2.25, 4.5])
def test_zoom_is_scipys(size: int, factor: float) -> None:
    field = np.random.default_rng(0).random((size, size))
    result = centre_zoom(torch.from_numpy(field).float(), factor)
    np.testing.assert_allclose(result.numpy(), zoomed_by_scipy(field, factor), atol=1e-5)


def test_zoom_treats_the_axes_alone() -> None:
    field = torch.rand(20, 33, 2, generator=torch.Generator().manual_seed(0))
    square = field[:, :20]
    assert centre_zoom(field, 1.3).shape == field.shape
    assert not torch.equal(centre_zoom(field, 1.3)[:, :20], centre_zoom(square, 1.3))


@pytest.mark.parametrize("border", MODES)
def test_sampling_is_scipys(border: Border) -> None:
    generator = np.random.default_rng(0)
    image = generator.random((9, 12))
    rows, columns = generator.uniform(-15, 25, (2, 5, 6))
    expected = ndimage.map_coordinates(image, [rows, columns], order=1, mode=MODES[border])
    result = sample(
        torch.from_numpy(image).float()[None, None],
        torch.from_numpy(rows)[None],
        torch.from_numpy(columns)[None],
        border,
    )
    np.testing.assert_allclose(result[0, 0].numpy(), expected, atol=1e-5)
