import cv2
import numpy as np
import pytest
import torch

from rwsstore.corruptions.weather import chamfer_distance


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_distances_are_opencvs_up_to_the_limit(share: float) -> None:
    marked = torch.rand(6, 40, 31, generator=torch.Generator().manual_seed(1)) < share
    marked[:, 3, 3] = True
    found = chamfer_distance(marked, 20).numpy()
    for mask, distances in zip(marked.numpy(), found, strict=True):
        free = np.where(mask, 0, 255).astype(np.uint8)
        expected = np.minimum(cv2.distanceTransform(free, cv2.DIST_L2, 5), 20)
        np.testing.assert_allclose(distances, expected, atol=1e-3)


def test_without_a_mark_everything_is_at_the_limit() -> None:
    assert bool((chamfer_distance(torch.zeros(1, 5, 5, dtype=torch.bool), 20) == 20).all())
