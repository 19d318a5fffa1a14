"""Applying a corruption: checks before and after, memory, and images that it leaves as they are."""

import numbers
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.filters import floats, luma, rounded, to_levels, truncated
from rwsstore.corruptions.keys import ImageKeys, Setting
from rwsstore.corruptions.registry import find_corruption
from rwsstore.corruptions.rows import Corruption, check_severity, severity_table, table_for
from rwsstore.errors import ConfigError, TensorError

_BYTES = 31 << 20


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let glibc's allocator keep up to 64 MB of what is freed, once a process.

    Glibc asks the system for every block above a threshold of 128 kB and gives it back when it is
    freed, so that each temporary tensor costs a page fault for every 4 kB, often more than the
    arithmetic on it. It raises its threshold to the size of a block that it has seen freed, at
    most 32 MB. So one such block is taken and freed; its pages are never touched. Other allocators
    take no notice.
    """
    torch.empty(_BYTES, dtype=torch.uint8)


def empty_like(images: Tensor) -> Tensor:
    """A tensor of the same shape, dtype, device and memory format, its values not set.

    For large arrays numpy asks Linux for pages of 2 MB, torch does not: the 38 MB of 256 images of
    224 px cost 19 page faults then instead of 9,408, a third of some corruptions' time.
    """
    if images.dtype != torch.uint8 or not (images.is_cpu and images.is_contiguous()):
        return torch.empty_like(images)
    return torch.from_numpy(np.empty(tuple(images.shape), dtype=np.uint8))


_OWN = f"{__name__.rpartition('.')[0]}."
_LOOKS = 61


class UnchangedWarning(UserWarning):
    """A corruption left some of the images as they were.

    Given once for each corruption, severity and line that calls, as Python's default filter has
    it. `warnings.simplefilter("ignore", UnchangedWarning)` silences it.
    """


def any_unchanged(before: Tensor, after: Tensor) -> bool:
    """Whether an image came out as it went in, to the level.

    Args:
        before: uint8, or floats in [0, 1], [B, C, H, W].
        after: the same shape and dtype.
    """
    first, second = _in_rows(before.detach()), _in_rows(after)
    # A look at a few values of each clears nearly all images of the suspicion.
    stride = max(1, first.shape[1] // _LOOKS)
    suspects = _same(first[:, ::stride], second[:, ::stride])
    return bool(suspects.any()) and bool(_same(first[suspects], second[suspects]).any())


def _in_rows(images: Tensor) -> Tensor:
    """[B, C, H, W] as a row each, in the order in which they lie in memory."""
    if images.is_contiguous(memory_format=torch.channels_last):
        images = images.permute(0, 2, 3, 1)
    return images.flatten(1)


def _same(first: Tensor, second: Tensor) -> Tensor:
    """Whether each two rows have equal levels: bool [B]."""
    if first.dtype != torch.uint8:
        first, second = to_levels(first), to_levels(second)
    return (first == second).all(1)


def warn_unchanged(name: str, severity: float, spares: str) -> None:
    """Warn, as if from the line outside this package that asked for the corruption.

    Args:
        name: of the corruption.
        severity: 1 to 5.
        spares: the images that it cannot change, in words; may be empty.
    """
    # The text is the same each time, or Python's "once a line" would not hold.
    reason = f"cannot change {spares}" if spares else "changes some images by chance only"
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(_OWN):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{name} at severity {severity} {reason}; some came out as they went in",
        UnchangedWarning,
        stacklevel=level,
    )


# Values worked on at a time: they stay in the processor's cache, and memory stays bounded.
_CHUNK_VALUES = 1 << 19
# But a few images in any case: each operation has its cost, however little it works on.
_LEAST_IMAGES = 4

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def corrupt(
    images: Tensor,
    name: str,
    severity: float,
    *,
    seed: int,
    indices: Tensor | Sequence[int] | None = None,
    table: str | None = None,
    frost_overlays: Sequence[Tensor] | None = None,
) -> Tensor:
    """Corrupt a batch of images.

    Each image's result depends, to the bit, only on the image, `seed`, `name`, `severity`, its
    index and the table: not on the rest of the batch, its order, the number of threads, the
    process or the device. The work is done on the CPU.

    Images are 8-bit: floats are first rounded to the nearest of the 256 levels k/255, and results
    are truncated to them, as the benchmark stores them.

    Args:
        images: [B, 3, H, W] or grey [B, 1, H, W], uint8, or floats in [0, 1] (float16, bfloat16,
            float32, float64); not changed.
        name: a name in `CORRUPTIONS`.
        severity: 1 to 5. Between two whole numbers the constants are interpolated (the row's
            rule, `between`), and the random numbers are those of the severity below, so that an
            image changes smoothly.
        seed: any integer.
        indices: integers [B], each image's index in its dataset; 0 … B - 1 by default.
        table: name of the severity table; by default the one for the shorter side
            (`severity.table_for`).
        frost_overlays: uint8 [3, H, W] photographs for `frost` (`load_frost_overlays`), which
            else is synthetic; other corruptions take no notice of them.

    Returns:
        The same shape, dtype, device and memory format; floats are multiples of 1/255.

    Warns:
        UnchangedWarning: an image came out as it went in, such as a grey one from `saturate`.

    Raises:
        UnknownNameError: no such corruption or table.
        ConfigError: `severity`, `seed` or the number of indices is not as said.
        TensorError: a shape, dtype or value is not as said.

    Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations, 2019.
    """
    corruption = find_corruption(name)
    severity = check_severity(severity)
    _check_images(images)
    chosen = table_for(*images.shape[-2:]) if table is None else severity_table(table)
    keys = ImageKeys(check_seed(seed), name, int(severity), as_indices(indices, len(images)))
    overlays = check_overlays(frost_overlays)
    constants = corruption.constants(chosen, severity)
    settings = [Setting(numbers, keys, chosen, overlays) for numbers in constants]
    result, is_levels = empty_like(images), images.dtype == torch.uint8
    keep_freed_memory()
    chunk = max(_LEAST_IMAGES, _CHUNK_VALUES // images[:1].numel()) if len(images) else 1
    with torch.no_grad():
        for start in range(0, len(images), chunk):
            stop = min(start + chunk, len(images))
            levels = images[start:stop].detach().cpu()
            levels = (levels if is_levels else to_levels(levels)).contiguous()
            parts = [setting.part(start, stop) for setting in settings]
            made = [_corrupted_levels(corruption, levels, part) for part in parts]
            levels = made[0]
            if len(made) == 2:
                levels = rounded(torch.lerp(floats(levels), floats(made[1]), severity % 1))
            result[start:stop] = levels if is_levels else levels.to(images.dtype) / 255
    if any_unchanged(images, result):
        warn_unchanged(name, severity, corruption.spares)
    return result


def _corrupted_levels(corruption: Corruption, levels: Tensor, setting: Setting) -> Tensor:
    """Run the corruption's function on part of a batch: uint8 levels, same shape, on the CPU."""
    if levels.shape[1] == 3 or not corruption.needs_colour:
        return corruption.function(levels, setting)
    spread = corruption.function(levels.repeat(1, 3, 1, 1), setting)
    return truncated(luma(floats(spread)))


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise TensorError(
            f"images have the shape {list(images.shape)}; expected [B, 3, H, W] or [B, 1, H, W]"
        )
    if images.dtype == torch.uint8:
        return
    if images.dtype not in _FLOATS:
        raise TensorError(f"images are {images.dtype}; expected uint8, or floats in [0, 1]")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise TensorError(
            f"images hold values from {float(images.min())} to {float(images.max())}; floats must "
            "lie in [0, 1]: divide by 255, and undo any normalisation"
        )


def as_indices(indices: Tensor | Sequence[int] | None, count: int) -> Sequence[int]:
    """Check the indices of so many images; None stands for 0 … count - 1.

    Raises:
        TensorError: a tensor that is not one-dimensional.
        ConfigError: another number of them, or one that is no integer.
    """
    if indices is None:
        return range(count)
    if isinstance(indices, Tensor):
        if indices.ndim != 1:
            raise TensorError(f"indices have the shape {list(indices.shape)}; expected [{count}]")
        indices = indices.tolist()
    if len(indices) != count:
        raise ConfigError(f"there are {len(indices)} indices for {count} images; expected one each")
    for index in indices:
        # Python's or numpy's kind of integer; `True` is not.
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise ConfigError(f"an index is {index!r}; expected an integer")
    return [int(index) for index in indices]


def check_seed(seed: int) -> int:
    """Refuse a seed that is no integer, and return it.

    Raises:
        ConfigError: it is something else; `True` is not taken for 1.
    """
    if type(seed) is not int:
        raise ConfigError(f"seed is {seed!r}; expected an integer")
    return seed


def check_overlays(overlays: Sequence[Tensor] | None) -> Sequence[Tensor]:
    """Refuse frost photographs of the wrong kind, and return them; none is an empty sequence.

    Raises:
        ConfigError: the sequence is empty.
        TensorError: one is not uint8 [3, H, W].
    """
    if overlays is None:
        return ()
    if not overlays:
        raise ConfigError(
            "frost_overlays is empty; expected photographs, or None for synthetic frost"
        )
    for overlay in overlays:
        if overlay.dtype != torch.uint8 or overlay.ndim != 3 or overlay.shape[0] != 3:
            raise TensorError(
                f"a frost overlay is {overlay.dtype} {list(overlay.shape)}; "
                "expected uint8 [3, H, W]"
            )
    return overlays
