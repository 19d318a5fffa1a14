"""What all transforms share: chains, the images in a sample, an index for those that have none.

A sample is what a data set yields or a v2 transform is called with: an image, or tuples, lists and
dicts with images and labels in them. The images are found as torchvision's v2 transforms find
them; torchvision itself is not imported, since without it none of its tensors can be there.
"""

import hashlib
import math
import numbers
import sys
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from types import ModuleType
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.data import Dataset

from rwsstore.corruptions.apply import as_indices, check_overlays, check_seed, corrupt
from rwsstore.corruptions.filters import to_levels
from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.registry import CORRUPTIONS, find_corruption, parse_corruptions
from rwsstore.corruptions.rows import SEVERITIES, check_severity, severity_table
from rwsstore.errors import ConfigError, TensorError


def content_indices(images: Tensor) -> list[int]:
    """Hash each image's 8-bit levels and shape to an index.

    Args:
        images: uint8, or floats in [0, 1], [B, C, H, W].

    Returns:
        One integer of 63 bits an image, the same for an image wherever it turns up, and for its
        byte and float versions.
    """
    levels = images if images.dtype == torch.uint8 else to_levels(images.detach()).to(torch.uint8)
    shape = repr(list(levels.shape[1:])).encode("ascii")
    rows = levels.cpu().contiguous().numpy()
    digests = [hashlib.blake2b(shape + row.tobytes(), digest_size=8).digest() for row in rows]
    return [int.from_bytes(digest, "little") >> 1 for digest in digests]


_MODES = ("L", "RGB")


def replace_images(sample: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Replace every image of a sample by what `change` makes of it.

    Images are Pillow's, `tv_tensors.Image` and `tv_tensors.Video`; where there are none of these,
    the first plain tensor. All else is handed through: labels, boxes, masks, further tensors.

    Args:
        sample: any nesting of tuples, lists and dicts.
        change: takes and returns [B, C, H, W], one image as a batch of one.

    Returns:
        The same structure; each image of the kind that it was.

    Raises:
        TensorError: the sample holds no image, or one that is no [C, H, W] or [B, C, H, W], or
            neither RGB nor grey.
    """
    leaves, structure = tree_flatten(sample)
    vision = _tv_tensors()
    marked = (Image.Image,) if vision is None else (Image.Image, vision.Image, vision.Video)
    others = () if vision is None else vision.TVTensor
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, marked)] or [
        place
        for place, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and not isinstance(leaf, others)
    ][:1]
    if not places:
        found = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
        raise TensorError(f"the sample holds no image but {found}; expected a tensor or Pillow's")
    for place in places:
        leaves[place] = _changed(leaves[place], change)
    return tree_unflatten(leaves, structure)


def _tv_tensors() -> ModuleType | None:
    return sys.modules.get("torchvision.tv_tensors")


def _changed(image: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(image, Image.Image):
        return _changed_picture(image, change)
    plain = image.as_subclass(Tensor)
    if plain.ndim not in (3, 4):
        raise TensorError(
            f"an image has the shape {list(plain.shape)}; expected [C, H, W] or [B, C, H, W]"
        )
    result = change(plain) if plain.ndim == 4 else change(plain[None])[0]
    vision = _tv_tensors()
    if vision is not None and isinstance(image, vision.TVTensor):
        return vision.wrap(result, like=image)
    return result


def _changed_picture(picture: Image.Image, change: Callable[[Tensor], Tensor]) -> Image.Image:
    if picture.mode not in _MODES:
        raise TensorError(
            f"a picture is of mode {picture.mode}; expected RGB or L: picture.convert('RGB')"
        )
    pixels = np.array(picture)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    result = change(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())[0]
    changed = result.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(changed[:, :, 0] if changed.shape[2] == 1 else changed)


Indices = int | Sequence[int] | Tensor


class Transform(ABC):
    """Changes images; stateless, so that worker processes and threads may share it.

    Made for torchvision's v2 transforms: called with a sample, it changes the images in it as
    they do and hands the rest through. It draws no global random numbers: what happens to an image
    follows from the transform's seed and the image's index. Where no index is given, the image's
    content stands in for it, so the same image is always changed in the same way, in whatever
    batch, worker or order; for another way in each epoch, use `with_seed(epoch)`.
    """

    def __call__(self, *sample: Any, indices: Indices | None = None) -> Any:
        """Change the images of a sample.

        Args:
            sample: an image or batch, or what holds some (`samples.replace_images`). Images are
                Pillow's (RGB or L), or tensors [C, H, W] or [B, C, H, W] with one or three
                channels, uint8 or floats in [0, 1].
            indices: the index in its data set of each image, for a sample of one image or batch.

        Returns:
            The sample, of the same structure, types, shapes and dtypes; a tuple where several
            arguments were given.

        Raises:
            TensorError: there is no image, or one of another shape, dtype or range.
            ConfigError: indices do not fit the images.
        """
        given = [] if indices is None else [indices]

        def change(images: Tensor) -> Tensor:
            if indices is None:
                return self.on_batch(images, content_indices(images))
            if not given:
                raise ConfigError(
                    "the sample holds several images; indices go with one, or one batch"
                )
            own = given.pop()
            listed = [own] if isinstance(own, int) else own
            if isinstance(listed, Tensor):
                listed = listed.flatten()
            return self.on_batch(images, as_indices(listed, len(images)))

        return replace_images(sample if len(sample) != 1 else sample[0], change)

    def __rshift__(self, after: "Transform") -> "Chain":
        """First this one, then `after`."""
        if not isinstance(after, Transform):
            return NotImplemented
        return Chain((*_stages(self), *_stages(after)))

    @abstractmethod
    def on_batch(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Change a batch.

        Args:
            images: [B, C, H, W], uint8 or floats in [0, 1]; not changed.
            indices: one an image.

        Returns:
            The same shape and dtype.
        """

    @abstractmethod
    def with_seed(self, seed: int) -> Self:
        """The same transform with another seed."""

    @abstractmethod
    def stream(self) -> tuple[object, ...] | None:
        """Name the random numbers that are drawn; None where none are."""


@dataclass(frozen=True)
class Chain(Transform):
    """Transforms one after the other, as `blur >> noise` makes it.

    Each stage sees the 8-bit result of the one before, under the index of the image that came in.

    Attributes:
        stages: at least one.

    Raises:
        ConfigError: there are none, or two that would draw the same random numbers.
    """

    stages: tuple[Transform, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("a chain of no stages; expected at least one")
        streams = [stage.stream() for stage in self.stages]
        for place, stream in enumerate(streams):
            if stream is not None and stream in streams[:place]:
                raise ConfigError(
                    f"{self.stages[place]} is in the chain twice and would draw the same random "
                    "numbers again; give one of them another seed"
                )

    def on_batch(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Change a batch, stage by stage."""
        for stage in self.stages:
            images = stage.on_batch(images, indices)
        return images

    def with_seed(self, seed: int) -> Self:
        """The same stages, all of them with this seed."""
        return type(self)(tuple(stage.with_seed(seed) for stage in self.stages))

    def stream(self) -> None:
        """A chain inside a chain does not occur: its stages are taken over."""


def _stages(transform: Transform) -> tuple[Transform, ...]:
    return transform.stages if isinstance(transform, Chain) else (transform,)


@dataclass(frozen=True)
class Corrupt(Transform):
    """One corruption at one severity.

    Attributes:
        name: a name in `CORRUPTIONS`.
        severity: 1 to 5, also in between.
        seed: any integer.
        table: name of the severity table; None for the one that suits the image's size.
        frost_overlays: uint8 [3, H, W] photographs for frost; None for synthetic frost. They do
            not count when transforms are compared.

    Raises:
        UnknownNameError: no such corruption or table.
        ConfigError: severity, seed or overlays are not as said.
        TensorError: an overlay is no uint8 [3, H, W].
    """

    name: str
    severity: float = 5
    seed: int = field(default=0, kw_only=True)
    table: str | None = field(default=None, kw_only=True)
    frost_overlays: Sequence[Tensor] | None = field(
        default=None, kw_only=True, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        find_corruption(self.name)
        object.__setattr__(self, "severity", check_severity(self.severity))
        check_seed(self.seed)
        check_overlays(self.frost_overlays)
        if self.table is not None:
            severity_table(self.table)

    def on_batch(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Corrupt a batch, as `rwsstore.corruptions.corrupt` does."""
        return corrupt(
            images,
            self.name,
            self.severity,
            seed=self.seed,
            indices=indices,
            table=self.table,
            frost_overlays=self.frost_overlays,
        )

    def with_seed(self, seed: int) -> Self:
        """The same corruption with another seed."""
        return replace(self, seed=seed)

    def stream(self) -> tuple[object, ...] | None:
        """Name the random numbers that are drawn; None where none are."""
        is_random = CORRUPTIONS[self.name].is_random
        return (self.name, int(self.severity), self.seed) if is_random else None


Choice = tuple[str, float] | None
"""A corruption and its severity; None for an image that stays clean."""


@dataclass(frozen=True)
class Random(Transform):
    """For each image one corruption at one severity, drawn at random, or none.

    What is drawn follows from the seed and the image's index alone. An image that gets a
    corruption looks as `corrupt` makes it with this seed and index.

    Attributes:
        corruptions: names, or a list in one string such as "all" or "weather,contrast".
        severities: each as likely as the others; fractional ones too. One named twice is twice as
            likely.
        weights: how often each corruption is drawn, in proportion; None for all alike.
        clean: the share of images that stay clean, 0 to 1.
        seed: any integer.
        table: name of the severity table; None for the one that suits the image's size.
        frost_overlays: photographs for frost, as for `Corrupt`.

    Raises:
        UnknownNameError: no such corruption or table.
        ConfigError: a corruption named twice, weights that are negative, all zero or not one a
            corruption, or another parameter that is not as said.
        TensorError: an overlay is no uint8 [3, H, W].
    """

    corruptions: str | Sequence[str] = "all"
    severities: Sequence[float] = field(default=SEVERITIES, kw_only=True)
    weights: Sequence[float] | None = field(default=None, kw_only=True)
    clean: float = field(default=0.0, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    table: str | None = field(default=None, kw_only=True)
    frost_overlays: Sequence[Tensor] | None = field(
        default=None, kw_only=True, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        names = _checked_names(self.corruptions)
        object.__setattr__(self, "corruptions", names)
        object.__setattr__(self, "severities", tuple(map(check_severity, self.severities)))
        if self.weights is not None:
            if len(self.weights) != len(names):
                raise ConfigError(
                    f"there are {len(self.weights)} weights for {len(names)} corruptions"
                )
            for weight in self.weights:
                if not _is_number(weight) or not math.isfinite(weight) or weight < 0:
                    raise ConfigError(f"a weight is {weight!r}; expected a number of at least 0")
            if not any(self.weights):
                raise ConfigError("all weights are 0; expected one above")
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        if not self.severities:
            raise ConfigError("no severity is named; expected numbers from 1 to 5")
        if not _is_number(self.clean) or not 0 <= self.clean <= 1:
            raise ConfigError(f"clean is {self.clean!r}; expected a share from 0 to 1")
        self._one((names[0], self.severities[0]))  # refuses seed, overlays and table

    def choices(self, indices: Sequence[int]) -> list[Choice]:
        """What is drawn for the images with these indices."""
        draws = ImageKeys(self.seed, "random", 0, indices).uniform(3).double().tolist()
        bounds = list(accumulate(self.weights or [1.0] * len(self.corruptions)))
        # A weight of 0 is never drawn: bisect goes past bounds that are equal.
        return [
            None
            if stays < self.clean
            else (
                self.corruptions[bisect_right(bounds, kind * bounds[-1])],
                self.severities[int(step * len(self.severities))],
            )
            for stays, kind, step in draws
        ]

    def on_batch(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Corrupt a batch, images with the same choice together."""
        groups: dict[Choice, list[int]] = {}
        for place, choice in enumerate(self.choices(indices)):
            groups.setdefault(choice, []).append(place)
        result = images.clone()
        for choice, places in groups.items():
            if choice is not None:
                chosen = torch.tensor(places, device=images.device)
                own = [indices[place] for place in places]
                result[chosen] = self._one(choice).on_batch(images[chosen], own)
        return result

    def _one(self, choice: tuple[str, float]) -> Corrupt:
        frost = self.frost_overlays
        return Corrupt(*choice, seed=self.seed, table=self.table, frost_overlays=frost)

    def with_seed(self, seed: int) -> Self:
        """The same mixture with another seed: another draw for every image."""
        return replace(self, seed=seed)

    def stream(self) -> tuple[object, ...]:
        """Name the random numbers that are drawn."""
        return ("random", self.seed)


def _checked_names(corruptions: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(corruptions, str):
        return parse_corruptions(corruptions)
    names = tuple(corruptions)
    if not names:
        raise ConfigError("no corruption is named; expected 'all', a group or names such as 'fog'")
    for name in names:
        find_corruption(name)
    if len(set(names)) != len(names):
        raise ConfigError(f"corruptions {', '.join(names)} name one twice; use weights instead")
    return names


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


class CorruptedDataset(Dataset[Any]):
    """A map-style data set with a transform on its images, each under its index.

    A transform inside a data set is not told the index and goes by the image's content. Here it
    is, so that a data loader yields exactly the images that `corrupt` makes of the whole set,
    however many workers it has.

    Args:
        dataset: its samples hold one image each.
        transform: for the images.
    """

    def __init__(self, dataset: Dataset[Any], transform: Transform) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length

    def __getitem__(self, index: int) -> Any:
        """The sample at an index, its image corrupted."""
        place = index + len(self) if index < 0 else index
        return self.transform(self.dataset[index], indices=place)
