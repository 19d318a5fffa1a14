"""The active patch set, and changes to it: functions from the active set to the wanted one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rwsstore.canonical import Digest
from rwsstore.errors import NotFoundError
from rwsstore.runtime import Variant
from rwsstore_service.engine.errors import NotAppliedError
from rwsstore_service.engine.finding import Choice, Finder
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, Actor, Chosen, Entry

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


Resolved = tuple[tuple[str, Digest, float], ...]


@dataclass(frozen=True)
class Active:
    """The active patch set; one reference, swapped whole.

    Attributes:
        generation: its number.
        at: when it became active.
        patches: as it was asked for.
        variant: the model with it.
    """

    generation: int
    at: datetime
    patches: tuple[Chosen, ...]
    variant: Variant

    @property
    def resolved(self) -> Resolved:
        """(name, digest, α) of what is added to the clean weights, in order."""
        return resolved_of(self.variant)

    @classmethod
    def of(cls, entry: Entry, variant: Variant) -> "Active":
        """What a record of the journal made active."""
        return cls(entry.generation or 0, entry.at, entry.patches, variant)


@dataclass(frozen=True)
class Change:
    """A change to the patch set, as it is asked for.

    Attributes:
        actor: who asks.
        action: what it is called in the history.
        edit: makes the wanted patch set of the active one.
        expected: generations that the caller accepts as active; None if any will do.
        key: idempotency key.
        answer: what is kept under the key.
        rolled_back_to: generation that a rollback goes back to.
    """

    actor: Actor
    action: Action
    edit: Edit
    expected: frozenset[int] | None = None
    key: str | None = None
    answer: Callable[[Active], Recorded] | None = None
    rolled_back_to: int | None = None


def resolved_of(variant: Variant) -> Resolved:
    """(name, digest, α) of a variant's patches, in the order in which they are added."""
    return tuple((variant.names[digest], digest, alpha) for digest, alpha in variant.patches)
