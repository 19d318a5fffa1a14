"""Corruptions as transforms: for torchvision's v2 pipelines, data loaders and training loops."""

__all__ = ["Chain", "Corrupt", "CorruptedDataset", "Random", "Transform"]

from rwsstore.corruptions.transforms.base import Chain, Transform
from rwsstore.corruptions.transforms.dataset import CorruptedDataset
from rwsstore.corruptions.transforms.mixture import Random
from rwsstore.corruptions.transforms.single import Corrupt
