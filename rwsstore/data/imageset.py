"""Images in memory, with their labels and classes; choosing among them.

The only random numbers used are the raw 64-bit outputs of PCG64, whose stream numpy keeps fixed
(the distributions on top of it may change between numpy versions), so a seed names the same
images wherever and whenever it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rwsstore.errors import ConfigError, DataError, TensorError
from rwsstore.progress import SILENT, Reporter


def balanced_indices(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Choose `n` positions so that the classes' counts differ by at most one.

    A class with too few images gives all that it has and the others share the rest. For one
    seed, a smaller choice is part of a larger one.

    Args:
        labels: [N] class of each image.
        n: how many, at most N.
        seed: at least 0.

    Returns:
        int64 [n], rising.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"the seed is {seed}; it must be 0 or more")
    source = np.random.PCG64(seed)
    shuffled = np.argsort(source.random_raw(len(labels)), kind="stable")
    classes, codes = np.unique(labels, return_inverse=True)
    turn_of_class = np.argsort(np.argsort(source.random_raw(len(classes)), kind="stable"))
    # How many of the same class come before each.
    by_class = np.argsort(codes[shuffled], kind="stable")
    grouped = codes[shuffled][by_class]
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - np.searchsorted(grouped, grouped, side="left")
    # The first of every class, then the second of every class, and so on.
    order = np.lexsort((turn_of_class[codes[shuffled]], rank))
    return np.sort(shuffled[order[:n]]).astype(np.int64)


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


def check_labels(
    labels: Tensor | None, count: int, classes: int, *, owner: str = "the model"
) -> Tensor:
    """See that every image has a label.

    Args:
        labels: int64 [N].
        count: N.
        classes: how many there are.
        owner: whose they are, for the message.

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
            f"the labels run from {low} to {high}; {owner} has {classes} classes, so they must "
            f"lie in 0..{classes - 1}"
        )
    return labels


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
        images, classes = self.images, self.classes
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"the images are {images.dtype} {list(images.shape)}; expected uint8 [N, 3, H, W]"
            )
        if 0 in images.shape:
            raise DataError(
                f"the images are {list(images.shape)}: there are none, or they are empty"
            )
        check_labels(self.labels, len(images), len(classes), owner="the set")
        if not all(classes):
            raise DataError(f"a class has an empty name: {classes}")
        if len(set(classes)) != len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise DataError(f"two classes are called {twice!r}; names must differ")

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
        if num_classes is None:
            raise ConfigError("a model without class names needs num_classes to be matched")
        if len(images.classes) != num_classes:
            raise DataError(
                f"{images.name} has {len(images.classes)} classes, the model {num_classes}, "
                "and it names none; use a dataset with as many"
            )
        return images
    if images.classes == classes:
        return images
    foreign = [name for name in images.classes if name not in classes]
    if foreign:
        known = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
        raise DataError(
            f"{images.name} has the class {foreign[0]!r} ({len(foreign)} such), which the model "
            f"does not know; the model's are {known}"
        )
    new_label = torch.tensor([classes.index(name) for name in images.classes])
    labels = new_label[images.labels.cpu()].to(images.labels.device)
    return replace(images, labels=labels, classes=classes)


Split = Literal["train", "test"]
"""Which half of a dataset: the one to train on, or the one to report on."""

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class LoadRequest:
    """One call for images.

    Attributes:
        folder: where the files are; the current folder for a source that needs none.
        split: which half.
        size: height and width wanted, in pixels; None keeps the source's own.
        progress: who is told how far decoding is.
    """

    folder: Path
    split: Split
    size: int | None = None
    progress: Reporter = SILENT


def random_crop_flip(
    images: Tensor, *, padding: int = 4, flip: bool = True, generator: torch.Generator
) -> Tensor:
    """Pad with zeros, cut a window of the old size anywhere, mirror half of the images.

    The usual augmentation for CIFAR, as in the Robust Weight Signatures paper's training. Every
    image draws its own window and its own side.

    Args:
        images: uint8 or float [B, 3, H, W]; left as they are.
        padding: pixels added on each side, at least 0.
        flip: mirror left to right with probability one half; off for classes that a mirror
            changes, such as digits.
        generator: where the random numbers come from; its device may differ from the images'.

    Returns:
        A new tensor of the same shape, dtype and device.

    Raises:
        ConfigError: the padding is negative.
        TensorError: the images are not four-dimensional.
    """
    if padding < 0:
        raise ConfigError(f"the padding is {padding} pixels; it must be 0 or more")
    if images.ndim != 4:
        raise TensorError(f"the images are {list(images.shape)}; expected [B, 3, H, W]")
    (count, _, height, width), device = images.shape, images.device
    most = 2 * padding + 1
    shifts = torch.randint(most, (2, count), generator=generator, device=generator.device)
    sides = torch.randint(2, (count,), generator=generator, device=generator.device)
    rows, columns = shifts.to(device)
    # A view of every possible window, [B, 3, 2p+1, 2p+1, H, W], of which one each is copied.
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    cut = windows[torch.arange(count, device=device), :, rows, columns]
    if not flip:
        return cut
    return torch.where(sides.bool().to(device)[:, None, None, None], cut.flip(3), cut)


def batches(n: int, batch_size: int, *, shuffle: torch.Generator | None) -> Iterator[Tensor]:
    """Yield the indices 0..n-1 in batches, each once; the last batch may be smaller.

    Args:
        n: number of images, at least 1.
        batch_size: at least 1.
        shuffle: draws one permutation for the whole pass; None keeps the order.

    Yields:
        int64 [at most batch_size], on the CPU.

    Raises:
        ConfigError: `n` or `batch_size` is below 1.
    """
    if n < 1 or batch_size < 1:
        raise ConfigError(f"{n} images in batches of {batch_size}: both must be 1 or more")
    if shuffle is None:
        order = torch.arange(n)
    else:
        order = torch.randperm(n, generator=shuffle, device=shuffle.device).cpu()
    yield from torch.split(order, batch_size)
