"""Saying so when a corruption leaves images as they are."""

__all__ = ["UnchangedWarning", "any_unchanged", "warn_unchanged"]

import sys
import warnings

import torch
from torch import Tensor

from rwsstore.corruptions.ops.levels import to_levels

_OWN = __name__.rpartition(".")[0]
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
    warnings.warn(
        f"{name} at severity {severity} {reason}; some came out as they went in",
        UnchangedWarning,
        stacklevel=_outside(),
    )


def _outside() -> int:
    """The stack level, as seen by `warn_unchanged`, of the first frame outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_own(module: str) -> bool:
    return module == _OWN or module.startswith(f"{_OWN}.")
