"""Corruptions as transforms: for torchvision's v2 pipelines, data loaders and training loops."""

__all__ = ["Chain", "Corrupt", "CorruptedDataset", "Random", "Transform"]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.corruptions.transforms.base import Chain, Transform
    from rwsstore.corruptions.transforms.corrupt import Corrupt, CorruptedDataset, Random
else:
    faces.lazy(__name__)
