"""Does a patch belong on a model? Asked before anything is touched."""

__all__ = ["check_fit"]

from collections.abc import Sequence
from itertools import zip_longest

from rwsstore.errors import MismatchError
from rwsstore.patches.identity import ModelIdentity
from rwsstore.patches.metadata import TensorEntry
from rwsstore.patches.patch import Patch


def check_fit(
    patch: Patch,
    model: ModelIdentity,
    *,
    allow_transfer: bool = False,
) -> bool:
    """Check that a patch fits a clean model.

    Args:
        patch: to be put on.
        model: the clean model that it is to be put on.
        allow_transfer: accept a patch that was extracted from other clean weights.

    Returns:
        Whether the patch is transferred (other clean weights, same architecture).

    Raises:
        MismatchError: another architecture (the first difference is named), or other clean
            weights without `allow_transfer`.
    """
    metadata = patch.metadata
    if metadata.architecture != model.architecture:
        raise MismatchError(
            f"patch {patch.name!r} is for another architecture: "
            + _first_difference(metadata.model, model.tensors)
        )
    if metadata.clean_weights == model.clean_weights:
        return False
    if not allow_transfer:
        raise MismatchError(
            f"patch {patch.name!r} was extracted from the clean weights "
            f"{metadata.clean_weights[:12]}, this model has {model.clean_weights[:12]}; "
            "transfer must be asked for (--allow-transfer, allow_transfer=True)"
        )
    return True


def _first_difference(expected: Sequence[TensorEntry], found: Sequence[TensorEntry]) -> str:
    for left, right in zip_longest(expected, found):
        if left == right:
            continue
        if right is None or (left is not None and left.name < right.name):
            return f"its model has {_show(left)}, this one has no such tensor"
        if left is None or right.name < left.name:
            return f"this model has {_show(right)}, its model has no such tensor"
        return f"its model has {_show(left)}, this one {_show(right)}"
    return "the fingerprints differ"


def _show(entry: TensorEntry) -> str:
    return f"{entry.name!r} of {entry.dtype}{list(entry.shape)}"
