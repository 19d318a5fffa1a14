"""What all transforms share: chains, the images in a sample, an index for those that have none.

A sample is what a data set yields or a v2 transform is called with: an image, or tuples, lists and
dicts with images and labels in them. The images are found as torchvision's v2 transforms find
them; torchvision itself is not imported, since without it none of its tensors can be there.
"""

import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from rwsstore.corruptions.ops.levels import to_levels
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
    return [_hashed(shape + row.tobytes()) for row in rows]


def _hashed(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1


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
    places = _image_places(leaves)
    if not places:
        found = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
        raise TensorError(f"the sample holds no image but {found}; expected a tensor or Pillow's")
    for place in places:
        leaves[place] = _changed(leaves[place], change)
    return tree_unflatten(leaves, structure)


def _image_places(leaves: list[Any]) -> list[int]:
    places = [place for place, leaf in enumerate(leaves) if _is_marked_image(leaf)]
    if places:
        return places
    return [place for place, leaf in enumerate(leaves) if _is_plain_tensor(leaf)][:1]


def _is_marked_image(leaf: Any) -> bool:
    vision = _tv_tensors()
    return isinstance(leaf, Image.Image) or (
        vision is not None and isinstance(leaf, vision.Image | vision.Video)
    )


def _is_plain_tensor(leaf: Any) -> bool:
    vision = _tv_tensors()
    return isinstance(leaf, Tensor) and not (
        vision is not None and isinstance(leaf, vision.TVTensor)
    )


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
