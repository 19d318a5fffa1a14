"""One corruption, a mixture of them, and a data set whose images are corrupted."""

import math
import numbers
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rwsstore.corruptions.apply import check_overlays, check_seed, corrupt
from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.registry import CORRUPTIONS, find_corruption, parse_corruptions
from rwsstore.corruptions.severity import SEVERITIES, check_severity, severity_table
from rwsstore.corruptions.transforms.base import Transform
from rwsstore.errors import ConfigError


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
            object.__setattr__(self, "weights", _checked_weights(self.weights, len(names)))
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


def _checked_weights(weights: Sequence[float], count: int) -> tuple[float, ...]:
    if len(weights) != count:
        raise ConfigError(f"there are {len(weights)} weights for {count} corruptions")
    for weight in weights:
        if not _is_number(weight) or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"a weight is {weight!r}; expected a number of at least 0")
    if not any(weights):
        raise ConfigError("all weights are 0; expected one above")
    return tuple(float(weight) for weight in weights)


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
