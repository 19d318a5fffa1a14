"""Making a patch only where the store does not hold it yet."""

__all__ = ["SweepItem", "make_once"]

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rwsstore.errors import UnknownPatchError
from rwsstore.patches import Patch
from rwsstore.store import Store


@dataclass(frozen=True)
class SweepItem:
    """One patch of a sweep.

    Attributes:
        patch: in the store.
        version: under its name.
        extracted: False where it was there already.
    """

    patch: Patch
    version: int
    extracted: bool


def make_once(
    store: Store,
    name: str,
    current: Callable[[Patch], bool],
    make: Callable[[Path | None], Patch],
    *,
    state_folder: Path | None,
    run: Callable[[], str],
) -> SweepItem:
    """Take a patch from the store, or make and publish it.

    Args:
        store: where it goes.
        name: under which.
        current: whether a stored patch is what would be made.
        make: makes it; given the file for the training's state, where there is a folder for it.
        state_folder: where that file lies; it is deleted once the patch is published.
        run: names that file.

    Raises:
        ConflictError: somebody else published under the name meanwhile.
        RwsError: as `make` does.
    """
    version, latest = _latest(store, name)
    if latest is not None and current(latest):
        return SweepItem(latest, version, extracted=False)
    state_file = None
    if state_folder is not None:
        state_folder.mkdir(parents=True, exist_ok=True)
        state_file = state_folder / run()
    patch = make(state_file)
    published = store.publish(patch, name=name, expected=version)
    if state_file is not None:
        state_file.unlink(missing_ok=True)
    return SweepItem(patch, published.version, extracted=True)


def _latest(store: Store, name: str) -> tuple[int, Patch | None]:
    try:
        newest = store.history(name)[-1]
    except UnknownPatchError:
        return 0, None
    return newest.version, store.get(newest.digest)
