"""What the engine refuses for reasons of its own.

RwsError
├── StaleGenerationError     another change came first
├── UnknownGenerationError   no such generation
├── NotAppliedError          the patch is not on
├── PatchInUseError          the active set or the history refers to it
├── DuplicatePatchError      it is the name's latest version already
├── OtherModelError          a generation of other clean weights
├── KeyReusedError           an idempotency key used for another request
├── OverloadedError          the queue is full
├── DeadlineError            its time was up before it was begun
├── StoppingError            the service is stopping
├── StateLostError           the active patch set could not be restored
└── InvalidImageError (FormatError)   an upload that cannot be decoded
"""

__all__ = [
    "DeadlineError",
    "DuplicatePatchError",
    "InvalidImageError",
    "KeyReusedError",
    "NotAppliedError",
    "OtherModelError",
    "OverloadedError",
    "PatchInUseError",
    "StaleGenerationError",
    "StateLostError",
    "StoppingError",
    "UnknownGenerationError",
    "told",
]

from collections import defaultdict
from collections.abc import Iterable

from rwsstore.canonical import Digest
from rwsstore.errors import (
    ConflictError,
    FormatError,
    IntegrityError,
    ReadOnlyError,
    RwsError,
    StorageFullError,
    StoreError,
)

_STORE_FAULTS = defaultdict(
    lambda: "the store or the journal cannot be used now",
    {
        IntegrityError: "stored data is damaged",
        StorageFullError: "no space is left, or the device failed; nothing was changed",
    },
)


def told(error: RwsError) -> str:
    """What a client may be told: the store's own faults name files of the machine, so not those."""
    own = isinstance(error, ConflictError | ReadOnlyError)
    if isinstance(error, StoreError) and not own:
        return f"{_STORE_FAULTS[type(error)]}; the service's log says more"
    return str(error)


class StaleGenerationError(RwsError):
    """Another change came first.

    Attributes:
        current: the generation that is active.
    """

    def __init__(self, expected: Iterable[int], current: int) -> None:
        names = " or ".join(map(str, sorted(expected))) or "none that there is"
        super().__init__(
            f"generation {names} was expected, {current} is active: read the patch set again, "
            "then change it"
        )
        self.current = current


class UnknownGenerationError(RwsError):
    """No such generation."""


class NotAppliedError(RwsError):
    """The patch is not on."""


class PatchInUseError(RwsError):
    """The active set or the history refers to the patch."""


class DuplicatePatchError(RwsError):
    """The patch is the name's latest version already.

    Attributes:
        digest: of the patch.
        name: the name.
        version: its version.
    """

    def __init__(self, digest: Digest, name: str, version: int) -> None:
        super().__init__(f"{name}@{version} is this very patch ({digest[:12]}) already")
        self.digest, self.name, self.version = digest, name, version


class OtherModelError(RwsError):
    """A generation of other clean weights."""


class KeyReusedError(RwsError):
    """An idempotency key that was used for another request."""


class OverloadedError(RwsError):
    """The queue is full."""


class DeadlineError(RwsError):
    """The time that a prediction may wait was up before it was begun."""


class StoppingError(RwsError):
    """The service is stopping."""


class StateLostError(RwsError):
    """The active patch set could not be restored."""


class InvalidImageError(FormatError):
    """An uploaded image that cannot be decoded."""
