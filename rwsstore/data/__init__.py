"""Datasets by name or folder, as images in memory."""

from rwsstore.data.augment import batches, random_crop_flip
from rwsstore.data.classes import match_classes
from rwsstore.data.imageset import ImageSet
from rwsstore.data.pixels import decode_image, read_image
from rwsstore.data.request import LoadRequest, Split
from rwsstore.data.sources import DATASETS, DataSource, load_images, parse_dataset
from rwsstore.data.unit import check_labels, unit_images

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
