"""Images in memory, with their labels and the names of their classes."""

__all__ = ["ImageSet"]

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from rwsstore.data.selection import balanced_indices
from rwsstore.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A dataset, or a part of one, decoded.

    Attributes:
        images: uint8 [N, 3, H, W], N at least 1; RGB, 0..255.
        labels: int64 [N], each in 0..len(classes) - 1.
        classes: the classes' names; a label is a position here. No two are equal.
        name: the dataset in words, without the folder that it came from.

    Raises:
        DataError: a tensor is of another dtype or shape, a label is out of range, or the names
            are not distinct.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        _check_images(self.images)
        _check_labels(self.labels, len(self.images))
        _check_classes(self.classes)
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(
                f"the labels run from {low} to {high}; with {len(self.classes)} classes they "
                f"must lie in 0..{len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(str(side) for side in self.images.shape[2:])
        return f"ImageSet({self.name!r}, {len(self)} images of {size}, {len(self.classes)} classes)"

    def take(self, indices: Tensor) -> Self:
        """Copy the images at `indices` (int64 [M], each in 0..N-1), in that order.

        Raises:
            DataError: there are none.
            ConfigError: an index is out of range, or they are no int64 [M].
        """
        if indices.dtype != torch.int64 or indices.ndim != 1:
            raise ConfigError(
                f"the indices are {indices.dtype} {list(indices.shape)}; expected int64 [M]"
            )
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            raise ConfigError(
                f"the indices run from {int(indices.min())} to {int(indices.max())}; "
                f"with {len(self)} images they must lie in 0..{len(self) - 1}"
            )
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def limit(self, n: int, seed: int = 0) -> Self:
        """Keep `n` images, equally many of each class as far as the classes have them.

        The choice follows from the seed alone, on every machine; the order stays.

        Raises:
            ConfigError: `n` is not in 1..N, or the seed is negative.
        """
        if not 1 <= n <= len(self):
            raise ConfigError(f"cannot keep {n} of {len(self)} images; ask for 1 to {len(self)}")
        return self.take(self._balanced(n, seed))

    def split_off(self, n: int, seed: int = 0) -> tuple[Self, Self]:
        """Divide into the rest and `n` images held out, class-balanced as in `limit`.

        Returns:
            (rest, held out), both in the original order.

        Raises:
            ConfigError: `n` is not in 1..N-1, or the seed is negative.
        """
        if not 1 <= n < len(self):
            raise ConfigError(
                f"cannot hold out {n} of {len(self)} images; at least one must go and one stay"
            )
        held_out = self._balanced(n, seed)
        stays = torch.ones(len(self), dtype=torch.bool)
        stays[held_out] = False
        return self.take(stays.nonzero().flatten()), self.take(held_out)

    def _balanced(self, n: int, seed: int) -> Tensor:
        labels = self.labels.cpu().numpy().astype(np.int64, copy=False)
        return torch.from_numpy(balanced_indices(labels, n, seed))


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise DataError(
            f"the images are {images.dtype} {list(images.shape)}; expected uint8 [N, 3, H, W]"
        )
    if 0 in images.shape:
        raise DataError(f"the images are {list(images.shape)}: there are none, or they are empty")


def _check_labels(labels: Tensor, count: int) -> None:
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise DataError(
            f"the labels are {labels.dtype} {list(labels.shape)}; expected int64 [{count}], "
            "one for each image"
        )


def _check_classes(classes: tuple[str, ...]) -> None:
    if not all(classes):
        raise DataError(f"a class has an empty name: {classes}")
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise DataError(f"two classes are called {twice!r}; names must differ")
