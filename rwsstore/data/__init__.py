"""Datasets by name or folder, as images in memory."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.data.images import decode_image as decode_image, read_image as read_image
    from rwsstore.data.imageset import (
        ImageSet as ImageSet,
        Split as Split,
        batches as batches,
        check_labels as check_labels,
        match_classes as match_classes,
        random_crop_flip as random_crop_flip,
        unit_images as unit_images,
    )
    from rwsstore.data.sources import DATASETS as DATASETS, load_images as load_images
else:
    faces.lazy(__name__)
