"""Changes to a patch set, as functions from the active one to the wanted one."""

__all__ = ["Chosen", "Edit", "apply", "clear", "remove", "replace", "restore", "scale"]

from collections.abc import Callable, Sequence

from rwsstore.errors import NotFoundError
from rwsstore_service.engine.choosing import Choice, Finder
from rwsstore_service.engine.errors import NotAppliedError
from rwsstore_service.engine.records import Chosen, Entry

Patches = tuple[Chosen, ...]
Edit = Callable[[Patches], Patches]
"""Takes the active patch set, gives the wanted one; raises RwsError."""


def replace(finder: Finder, choices: Sequence[Choice]) -> Edit:
    """Want these patches and no others."""
    return lambda _active: finder.choose(choices)


def clear() -> Edit:
    """Want the clean model."""
    return lambda _active: ()


def apply(finder: Finder, choice: Choice) -> Edit:
    """Want one patch besides what is on; what is on under its name or digest goes."""

    def edit(active: Patches) -> Patches:
        found = finder.find(choice)
        others = tuple(
            one for one in active if one.digest != found.digest and one.patch != found.patch
        )
        return (*others, found) if found.alpha else others

    return edit


def scale(finder: Finder, choice: Choice) -> Edit:
    """Want another strength for a patch that is on; the very patch stays, by its digest."""

    def edit(active: Patches) -> Patches:
        found = _find(finder, active, choice.patch)
        by_digest = Choice(found.digest, choice.alpha, choice.ta_loss)
        alpha = finder.find(by_digest).alpha
        return tuple(
            one if one.digest != found.digest else Chosen(one.patch, one.digest, alpha)
            for one in active
            if one.digest != found.digest or alpha
        )

    return edit


def remove(finder: Finder, patch: str) -> Edit:
    """Want all that is on but one patch."""

    def edit(active: Patches) -> Patches:
        found = _find(finder, active, patch)
        return tuple(one for one in active if one.digest != found.digest)

    return edit


def restore(entry: Entry) -> Edit:
    """Want the patch set of an earlier generation, each patch by its digest."""
    return lambda _active: entry.patches


def _find(finder: Finder, active: Patches, patch: str) -> Chosen:
    """The patch that is on under a name, or that the name stands for now."""
    for one in active:
        if patch in (one.patch, one.digest):
            return one
    try:
        digest = finder.resolve(patch)
    except NotFoundError:
        digest = ""
    for one in active:
        if one.digest == digest:
            return one
    on = ", ".join(one.patch for one in active) or "none"
    raise NotAppliedError(f"patch {patch!r} is not on; on are: {on}")
