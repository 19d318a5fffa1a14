"""Changes to the active patch set, as callers ask for them, and the set that is active."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rwsstore.runtime import ActiveSet, Edit, Patches, Variant, find_on, put_on, rescale
from rwsstore_service.engine.finding import Choice, Finder
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, Actor, Entry


def replace(finder: Finder, choices: Sequence[Choice]) -> Edit:
    """Want these patches and no others."""
    return lambda _on: finder.choose(choices)


def clear() -> Edit:
    """Want the clean model."""
    return lambda _on: ()


def apply(finder: Finder, choice: Choice) -> Edit:
    """Want one patch besides what is on."""
    return lambda on: put_on(on, finder.find(choice))


def scale(finder: Finder, choice: Choice) -> Edit:
    """Want another strength for a patch that is on; the very patch stays, by its digest."""

    def edit(on: Patches) -> Patches:
        found = find_on(on, choice.patch, finder.resolve)
        return rescale(on, found, finder.strength(choice, found.digest))

    return edit


def remove(finder: Finder, patch: str) -> Edit:
    """Want all that is on but one patch."""
    return lambda on: rescale(on, find_on(on, patch, finder.resolve), 0)


def restore(entry: Entry) -> Edit:
    """Want the patch set of an earlier generation, each patch by its digest."""
    return lambda _on: entry.patches


@dataclass(frozen=True)
class Active(ActiveSet):
    """The active patch set, as a live model holds it: one reference, swapped whole.

    Attributes:
        generation: its number.
        at: when it became active.
    """

    generation: int
    at: datetime

    @classmethod
    def by(cls, entry: Entry, variant: Variant) -> "Active":
        """What a record of the journal made active."""
        return cls(entry.patches, variant, entry.generation or 0, entry.at)


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
