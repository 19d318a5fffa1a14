"""Saying so when a corruption leaves images as they are."""

__all__ = ["UnchangedWarning", "any_unchanged", "warn_unchanged"]

import sys
import warnings

from torch import Tensor

_OWN = __name__.rpartition(".")[0]
_LOOKS = 61


class UnchangedWarning(UserWarning):
    """A corruption left some of the images as they were.

    Given once for each corruption, severity and line that calls, as Python's default filter has
    it. `warnings.simplefilter("ignore", UnchangedWarning)` silences it.
    """


def any_unchanged(before: Tensor, after: Tensor) -> bool:
    """Whether an image of [B, C, H, W] came out as it went in, to the bit."""
    # A look at some of the values clears nearly all images of the suspicion.
    first, second = before.flatten(1), after.flatten(1)
    step = max(1, first.shape[1] // _LOOKS)
    suspects = (first[:, ::step] == second[:, ::step]).all(1)
    if not bool(suspects.any()):
        return False
    return bool((first[suspects] == second[suspects]).all(1).any())


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
