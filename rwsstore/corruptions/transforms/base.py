"""What all transforms share, and chains of them."""

__all__ = ["Chain", "Transform"]

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from rwsstore.corruptions.transforms.content import content_indices
from rwsstore.corruptions.transforms.samples import replace_images
from rwsstore.errors import ConfigError

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
        given = None if indices is None else _GivenOnce(indices)

        def change(images: Tensor) -> Tensor:
            places = content_indices(images) if given is None else given.take(len(images))
            return self.on_batch(images, places)

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


class _GivenOnce:
    """The caller's indices, which belong to one image or batch."""

    def __init__(self, indices: Indices) -> None:
        self._indices = [indices] if isinstance(indices, int) else indices
        self._is_taken = False

    def take(self, count: int) -> list[int]:
        if self._is_taken:
            raise ConfigError("the sample holds several images; indices go with one, or one batch")
        self._is_taken = True
        found = self._indices
        listed = found.flatten().tolist() if isinstance(found, Tensor) else list(found)
        if len(listed) != count:
            raise ConfigError(f"there are {len(listed)} indices for {count} images")
        return listed


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
