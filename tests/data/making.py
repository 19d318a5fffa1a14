"""Small datasets for the tests, made on the spot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rwsstore.data import ImageSet
from rwsstore.progress import Task


class Recorder:
    """A reporter that remembers each task's total and how far it came."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.totals: dict[str, int] = {}

    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:
        self.totals[description], self.done[description] = total, 0
        yield _Counter(self, description)


class _Counter:
    def __init__(self, recorder: Recorder, description: str) -> None:
        self._recorder, self._description = recorder, description

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self._recorder.done[self._description] += steps


def image_set(labels: Sequence[int], classes: tuple[str, ...] = ("a", "b", "c")) -> ImageSet:
    """Images of 2x2 pixels; the first pixel's red is the image's index."""
    images = torch.zeros(len(labels), 3, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels)).to(torch.uint8)
    return ImageSet(images, torch.tensor(labels), classes, "made")


def indices_of(images: ImageSet) -> list[int]:
    """The indices that images of `image_set` had there."""
    return [int(index) for index in images.images[:, 0, 0, 0]]


def picture(width: int = 8, height: int = 8, *, seed: int = 0) -> Image.Image:
    """An RGB image of seeded noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def write_folder(root: Path, layout: dict[str, int], *, width: int = 8, height: int = 8) -> None:
    """Write PNG images: `layout` maps a class's folder below `root` to how many it gets."""
    for position, (name, count) in enumerate(layout.items()):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(count):
            seed = 100 * position + index
            picture(width, height, seed=seed).save(folder / f"{index:03}.png")
