"""A small set of images, and what the tests of exports share."""

import hashlib
from pathlib import Path

import torch

from rwsstore.data import ImageSet
from tests.corruptions.pictures import smooth_pictures


def small_set(count: int = 7, side: int = 32) -> ImageSet:
    labels = torch.arange(count) % 3
    return ImageSet(smooth_pictures(count, side, side), labels, ("cat", "dog", "owl"), "toys")


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every visible file, by its path in the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
