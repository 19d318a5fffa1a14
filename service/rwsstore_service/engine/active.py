"""The active patch set, and changes to it as they are asked for."""

__all__ = ["Active", "Change", "Resolved", "resolved_of"]

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rwsstore.canonical import Digest
from rwsstore.runtime import Variant
from rwsstore_service.engine.editing import Edit
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, Actor, Chosen, Entry

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
