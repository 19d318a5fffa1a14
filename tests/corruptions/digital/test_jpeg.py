import io

import numpy as np
import pytest
from PIL import Image

from rwsstore.corruptions import SEVERITIES, corrupt
from tests.corruptions.pictures import Picture, as_pictures, numbers_of, smooth_pictures


def through_pillow(picture: Picture, quality: int) -> Picture:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as image:
        return np.asarray(image)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows(severity: int) -> None:
    images = smooth_pictures(3, 32, 45)
    (quality,) = numbers_of("jpeg_compression", severity)
    found = as_pictures(corrupt(images, "jpeg_compression", severity, seed=0))
    for compressed, picture in zip(found, as_pictures(images), strict=True):
        assert np.array_equal(compressed, through_pillow(picture, int(quality)))


def test_grey_is_compressed_as_grey() -> None:
    grey = smooth_pictures(1)[:, :1]
    found = corrupt(grey, "jpeg_compression", 5, seed=0)
    assert np.array_equal(found[0, 0].numpy(), through_pillow(grey[0, 0].numpy(), 40))
