"""Corruptions as transforms: for torchvision's v2 pipelines, data loaders and training loops."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.corruptions.transforms.base import Chain as Chain, Transform as Transform
    from rwsstore.corruptions.transforms.corrupt import (
        Corrupt as Corrupt,
        CorruptedDataset as CorruptedDataset,
        Random as Random,
    )
else:
    faces.lazy(__name__)
