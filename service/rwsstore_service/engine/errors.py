"""What the engine refuses for reasons of its own."""

from collections.abc import Iterable

from rwsstore.canonical import Digest
from rwsstore.errors import FormatError, RwsError


class StaleGenerationError(RwsError):
    """Another change came first.

    Attributes:
        current: the generation that is active.
    """

    problem = "stale-generation"

    def __init__(self, expected: Iterable[int], current: int) -> None:
        names = " or ".join(map(str, sorted(expected))) or "none that there is"
        super().__init__(
            f"generation {names} was expected, {current} is active: read the patch set again, "
            "then change it"
        )
        self.current = current
        self.members = {"current_generation": current}


class UnknownGenerationError(RwsError):
    """No such generation."""

    problem = "unknown-generation"


class PatchInUseError(RwsError):
    """The active set or the history refers to the patch."""

    problem = "patch-in-use"


class DuplicatePatchError(RwsError):
    """The patch is the name's latest version already."""

    problem = "duplicate-patch"

    def __init__(self, digest: Digest, name: str, version: int) -> None:
        super().__init__(f"{name}@{version} is this very patch ({digest[:12]}) already")
        self.members = {"digest": digest, "name": name, "version": version}


class OtherModelError(RwsError):
    """A generation of other clean weights."""

    problem = "other-model"


class KeyReusedError(RwsError):
    """An idempotency key that was used for another request."""

    problem = "idempotency-mismatch"


class OverloadedError(RwsError):
    """The queue is full."""

    problem = "overloaded"


class DeadlineError(RwsError):
    """The time that a prediction may wait was up before it was begun."""

    problem = "deadline-exceeded"


class StoppingError(RwsError):
    """The service is stopping."""

    problem = "unavailable"


class StateLostError(RwsError):
    """The active patch set could not be restored."""

    problem = "unavailable"


class InvalidImageError(FormatError):
    """An uploaded image that cannot be decoded."""

    problem = "invalid-image"
