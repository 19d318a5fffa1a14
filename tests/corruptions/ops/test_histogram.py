import cv2
import numpy as np

from rwsstore.corruptions.weather import equalized
from tests.corruptions.pictures import smooth_pictures


def test_equalisation_is_opencvs() -> None:
    levels = smooth_pictures(5)[:, 0]
    levels[1] //= 12
    levels[2] = 77
    expected = np.stack([cv2.equalizeHist(layer.numpy()) for layer in levels])
    assert np.array_equal(equalized(levels.long()).numpy(), expected)
