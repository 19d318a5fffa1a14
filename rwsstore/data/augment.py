"""Random crops and flips of whole batches, and the order of batches."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.errors import ConfigError, TensorError


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
    rows, columns, mirrored = _draw(len(images), padding, generator)
    cut = _windows(images, padding, rows.to(images.device), columns.to(images.device))
    if not flip:
        return cut
    return torch.where(mirrored.to(images.device)[:, None, None, None], cut.flip(3), cut)


def _draw(count: int, padding: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw each image's upper row, left column (0..2·padding) and whether it is mirrored."""
    shifts = torch.randint(
        2 * padding + 1, (2, count), generator=generator, device=generator.device
    )
    sides = torch.randint(2, (count,), generator=generator, device=generator.device)
    return shifts[0], shifts[1], sides.bool()


def _windows(images: Tensor, padding: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut image i's window at (rows[i], columns[i]) of the padded images."""
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    # A view of every possible window, [B, 3, 2p+1, 2p+1, H, W], of which one each is copied.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    image = torch.arange(len(images), device=images.device)
    return windows[image, :, rows, columns]


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
