"""Which stored patch stands for a corruption: the choice of an oracle that knows it."""

__all__ = ["choose_patches", "find_patches"]

from collections.abc import Sequence

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import UnknownPatchError
from rwsstore.patches import ModelIdentity, Patch
from rwsstore.store import FittingStore, Store


def choose_patches(
    store: Store,
    model: ModelIdentity,
    corruptions: Sequence[str] | None,
    *,
    allow_transfer: bool = False,
) -> dict[str, Patch]:
    """Find an RWS patch for each corruption.

    Patches extracted from this very model come first, each name at its newest such version, then
    the one that bears the corruption's name.

    Args:
        store: to look in.
        model: the clean model.
        corruptions: names; None takes every corruption that the store has a patch for.
        allow_transfer: take patches from other clean weights where there is none from these.

    Raises:
        UnknownPatchError: there is no patch for a corruption, or none at all.
    """
    wanted = tuple(CORRUPTIONS) if corruptions is None else tuple(corruptions)
    found = find_patches(store, model, wanted, allow_transfer=allow_transfer)
    missing = [name for name, patch in found.items() if patch is None]
    if missing and corruptions is not None:
        raise UnknownPatchError(
            f"the store has no RWS patch of this model for {', '.join(missing)}: extract "
            f"{'it' if len(missing) == 1 else 'them'} (rws extract), or leave --corruptions out to "
            "take those that it has"
        )
    chosen = {name: patch for name, patch in found.items() if patch is not None}
    if not chosen:
        raise UnknownPatchError(
            "the store has no RWS patch of this model: extract some (rws extract), or name another "
            "store (--store)"
        )
    return chosen


def find_patches(
    store: Store,
    model: ModelIdentity,
    corruptions: Sequence[str],
    *,
    allow_transfer: bool = False,
) -> dict[str, Patch | None]:
    """Find an RWS patch for each corruption, as `choose_patches` does; None where there is none."""
    return {name: _choose(store, model, name, allow_transfer) for name in corruptions}


def _choose(
    store: Store, model: ModelIdentity, corruption: str, allow_transfer: bool
) -> Patch | None:
    candidates = FittingStore(store, model).list(kind="rws", corruption=corruption)
    if not candidates and allow_transfer:
        candidates = store.list(kind="rws", corruption=corruption, architecture=model.architecture)
    if not candidates:
        return None
    best = min(candidates, key=lambda entry: (entry.name != corruption, entry.name))
    return store.get(best.digest)
