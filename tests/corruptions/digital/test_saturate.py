import numpy as np
import pytest
import torch
from skimage.color import hsv2rgb, rgb2hsv

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import (
    TABLES,
    as_levels,
    as_pictures,
    largest_difference,
    numbers_of,
    smooth_pictures,
)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_saturate_changes_s_of_hsv(severity: int, table: str) -> None:
    images = smooth_pictures(4)
    images[0, :, :4] = 0
    images[0, :, 4:8] = 90
    factor, offset = numbers_of("saturate", severity, table)
    hsv = rgb2hsv(as_pictures(images) / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    found = as_pictures(corrupt(images, "saturate", severity, seed=0, table=table))
    assert largest_difference(found, as_levels(hsv2rgb(hsv) * 255)) <= 1


@pytest.mark.filterwarnings("ignore::rwsstore.corruptions.UnchangedWarning")
def test_grey_is_tinted_only_where_there_is_an_offset() -> None:
    grey = torch.full((1, 3, 4, 4), 120, dtype=torch.uint8)
    for severity in (1, 2, 3):
        assert torch.equal(corrupt(grey, "saturate", severity, seed=0), grey)
    for severity in (4, 5):
        red, green, blue = corrupt(grey, "saturate", severity, seed=0)[0, :, 0, 0].tolist()
        assert red == 120 > green == blue
