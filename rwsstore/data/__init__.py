"""Datasets by name or folder, as images in memory."""

__all__ = [
    "DATASETS",
    "DataSource",
    "ImageSet",
    "LoadRequest",
    "Split",
    "batches",
    "check_labels",
    "decode_image",
    "load_images",
    "match_classes",
    "parse_dataset",
    "random_crop_flip",
    "read_image",
    "unit_images",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.data.augment import batches, random_crop_flip
    from rwsstore.data.images import decode_image, read_image
    from rwsstore.data.imageset import (
        ImageSet,
        LoadRequest,
        Split,
        check_labels,
        match_classes,
        unit_images,
    )
    from rwsstore.data.sources import DATASETS, DataSource, load_images, parse_dataset
else:
    faces.lazy(__name__)
