"""Bringing a dataset's labels into the order of a model's classes."""

__all__ = ["match_classes"]

from dataclasses import replace

import torch

from rwsstore.data.imageset import ImageSet
from rwsstore.errors import ConfigError, DataError


def match_classes(
    images: ImageSet, classes: tuple[str, ...], *, num_classes: int | None = None
) -> ImageSet:
    """Renumber the labels so that they mean what a model's outputs mean.

    The dataset may have the classes in another order or only some of them.

    Args:
        images: the dataset.
        classes: the model's class names in the order of its outputs; empty where it has none.
        num_classes: how many outputs the model has; needed, and then alone checked, where
            `classes` is empty.

    Returns:
        The same images with labels for `classes`; the very set where nothing changes.

    Raises:
        DataError: the dataset has a class that the model lacks, or, for a model without names,
            another number of classes.
        ConfigError: neither names nor a number were given, or they contradict each other.
    """
    if num_classes is not None and classes and num_classes != len(classes):
        raise ConfigError(f"{len(classes)} class names were given for {num_classes} classes")
    if not classes:
        return _match_number(images, num_classes)
    if images.classes == classes:
        return images
    _refuse_foreign(images, classes)
    new_label = torch.tensor([classes.index(name) for name in images.classes])
    labels = new_label[images.labels.cpu()].to(images.labels.device)
    return replace(images, labels=labels, classes=classes)


def _match_number(images: ImageSet, num_classes: int | None) -> ImageSet:
    if num_classes is None:
        raise ConfigError("a model without class names needs num_classes to be matched")
    if len(images.classes) != num_classes:
        raise DataError(
            f"{images.name} has {len(images.classes)} classes, the model {num_classes}, "
            "and it names none; use a dataset with as many"
        )
    return images


def _refuse_foreign(images: ImageSet, classes: tuple[str, ...]) -> None:
    foreign = [name for name in images.classes if name not in classes]
    if foreign:
        known = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
        raise DataError(
            f"{images.name} has the class {foreign[0]!r} ({len(foreign)} such), which the model "
            f"does not know; the model's are {known}"
        )
