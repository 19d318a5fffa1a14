"""The images in a sample: finding them, and putting others in their place.

A sample is what a data set yields or a v2 transform is called with: an image, or tuples, lists and
dicts with images and labels in them. The images are found as torchvision's v2 transforms find
them; torchvision itself is not imported, since without it none of its tensors can be there.
"""

__all__ = ["replace_images"]

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from rwsstore.errors import TensorError

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
