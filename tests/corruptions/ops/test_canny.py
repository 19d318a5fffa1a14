import cv2
import numpy as np
import torch

from rwsstore.corruptions.weather import canny
from tests.corruptions.pictures import smooth_pictures


def layers() -> torch.Tensor:
    """Blurred noise cut off below: what spatter looks for edges in."""
    noise = smooth_pictures(12, 40, 33, seed=2)[:, 0]
    return torch.where(noise < 120, torch.zeros_like(noise), noise)


def test_edges_are_opencvs() -> None:
    levels = layers()
    found = canny(levels.to(torch.int32), 50, 150)
    expected = np.stack([cv2.Canny(layer.numpy(), 50, 150) > 0 for layer in levels])
    assert np.array_equal(found.numpy(), expected)
    assert 0 < float(found.float().mean()) < 0.3


def test_a_weak_edge_counts_where_it_continues_a_strong_one() -> None:
    levels = torch.zeros(1, 12, 24, dtype=torch.int32)
    levels[0, 6:, :12] = 60
    levels[0, 6:, 12:] = 30
    edges = canny(levels, 50, 150)
    assert bool(edges[0, 5:7, 2:22].any(0).all())
    levels[0, 6:] = 30
    assert not bool(canny(levels, 50, 150).any())
