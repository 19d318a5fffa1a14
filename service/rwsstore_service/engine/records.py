"""What the engine's parts hand to each other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.runtime import Patches

SetAction = Literal["start", "replace", "clear", "apply", "scale", "remove", "rollback"]
"""What changes the patch set."""

StoreAction = Literal["publish", "compose", "delete"]
"""What changes the store."""

Action = Literal[SetAction, StoreAction]

ACTIONS: tuple[Action, ...] = get_args(Action)

Dropped = Literal["deadline", "displaced"]
"""Why a prediction that waited was not computed: its time was up, or its place went to another
patch set."""

DROPPED: tuple[Dropped, ...] = get_args(Dropped)


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Attributes:
        name: of the token; "anonymous" where none is needed.
        address: where the request comes from.
        request_id: of the request.
    """

    name: str
    address: str
    request_id: str


Wanted = Patches | None
"""The patch set that a prediction wants; None is the active one."""


@dataclass(frozen=True)
class Note:
    """What is to be recorded; the journal adds number, time, generation and chain.

    Attributes:
        actor: who caused it.
        action: what was done.
        subject: what it was done to: the model's name, or a patch as name@version.
        patches: the active patch set, as it was asked for; or the patch that was stored.
        resolved: (name, digest, α) of what is added to the clean weights, in order.
        clean_weights: fingerprint of the clean model.
        state_digest: after it ("" where no patch set became active).
        previous_digest: before it.
        rolled_back_to: the generation that a rollback went back to.
    """

    actor: Actor
    action: Action
    subject: str
    patches: Patches
    resolved: tuple[tuple[str, Digest, float], ...]
    clean_weights: Digest
    state_digest: Digest
    previous_digest: Digest
    rolled_back_to: int | None = None

    @property
    def activates(self) -> bool:
        """Whether a patch set became active: its subject's next generation; the first is 1."""
        return bool(self.state_digest)

    @property
    def digests(self) -> frozenset[Digest]:
        """Every patch that it names."""
        chosen = (patch.digest for patch in self.patches)
        return frozenset((*chosen, *(digest for _, digest, _ in self.resolved)))


@dataclass(frozen=True, kw_only=True)
class JournalEntry(Note):
    """One record of the journal.

    Attributes:
        seq: its number, from 1 on, without gaps.
        at: when it was written (UTC).
        generation: number of the patch set that became active; None if none did.
        chain: SHA-256 over the chain of the record before and everything in this one.
    """

    seq: int
    at: datetime
    generation: int | None
    chain: Digest


@dataclass(frozen=True)
class PredictedImages:
    """What was computed for one request.

    Attributes:
        logits: float32 [B, C].
        patches: the patch set that computed it.
        state_digest: of its variant.
        generation: of the active patch set; None where the request brought its own.
        queued: seconds that it waited.
        computed: seconds that the batch it was in took.
    """

    logits: Tensor
    patches: Patches
    state_digest: Digest
    generation: int | None
    queued: float
    computed: float
