import numpy as np
import pytest
from PIL import Image

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import TABLES, as_pictures, numbers_of, smooth_pictures


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (47, 61), (64, 40)])
def test_pixelate_is_pillows_box_resize(height: int, width: int, severity: int, table: str) -> None:
    images = smooth_pictures(3, height, width)
    (factor,) = numbers_of("pixelate", severity, table)
    small = (int(width * factor), int(height * factor))
    found = as_pictures(corrupt(images, "pixelate", severity, seed=0, table=table))
    for blocky, picture in zip(found, as_pictures(images), strict=True):
        box = Image.Resampling.BOX
        expected = Image.fromarray(picture).resize(small, box).resize((width, height), box)
        assert np.array_equal(blocky, np.asarray(expected))
