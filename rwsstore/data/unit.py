"""Images as numbers in [0, 1]."""

__all__ = ["check_labels", "unit_images"]

import torch
from torch import Tensor

from rwsstore.errors import DataError, TensorError


def unit_images(images: Tensor) -> Tensor:
    """Turn images into float32 in [0, 1].

    Args:
        images: uint8 in 0…255, or floating point in [0, 1]; [N, 3, H, W].

    Raises:
        TensorError: another dtype or shape, no images, or values that are NaN or outside [0, 1].
    """
    if images.dim() != 4 or 0 in images.shape:
        raise TensorError(f"images have the shape {list(images.shape)}; expected [N, 3, H, W]")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise TensorError(f"images are {images.dtype}; expected uint8, or floats in [0, 1]")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise TensorError(
            f"images run from {low:g} to {high:g}; expected [0, 1]: no normalization, it belongs "
            "inside the model"
        )
    return images.float()


def check_labels(labels: Tensor | None, count: int, classes: int) -> Tensor:
    """See that every image has a label.

    Args:
        labels: int64 [N].
        count: N.
        classes: how many there are.

    Raises:
        DataError: there are none, or they are of another dtype or shape, or out of range.
    """
    if labels is None:
        raise DataError("these images have no labels, and without them there is no accuracy")
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise DataError(
            f"the labels are {labels.dtype} {list(labels.shape)}; expected int64 [{count}], one "
            "for each image"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"the labels run from {low} to {high}; the model has {classes} classes, so they must "
            f"lie in 0..{classes - 1}"
        )
    return labels
