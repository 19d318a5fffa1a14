"""When to try again, and how long to wait before."""

__all__ = ["Backoff"]

import random
from collections.abc import Callable
from dataclasses import dataclass

from rwsstore_client._errors import ConnectError, DeadlineError, RwsClientError
from rwsstore_client._requests import Request
from rwsstore_client._responses import Reply, error_of, retry_after

_AGAIN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter, on top of what the service asks for.

    Everything that the SDK sends may be sent again: reading and predicting change nothing, and
    each change carries a key by which the service knows it.

    Attributes:
        retries: most further tries.
        first: longest wait before the first of them, in seconds; it doubles.
        longest: longest wait of all.
        longest_asked: most of a Retry-After that is waited.
        random: uniform numbers from 0 to 1.
    """

    retries: int = 2
    first: float = 0.5
    longest: float = 8.0
    longest_asked: float = 30.0
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries is {self.retries!r}; expected 0 or more")

    def delay(self, request: Request, tries: int, outcome: Reply | RwsClientError) -> float | None:
        """Seconds to wait before the next try; None if there is to be none.

        Args:
            request: what was sent.
            tries: how often it was sent again already.
            outcome: what came of it.
        """
        if request.once or tries >= self.retries or not _is_passing(outcome):
            return None
        jitter = self.random() * min(self.longest, self.first * 2.0**tries)
        asked = retry_after(outcome) if isinstance(outcome, Reply) else None
        return jitter + min(self.longest_asked, asked or 0.0)


def _is_passing(outcome: Reply | RwsClientError) -> bool:
    """Whether the next try may fare better."""
    if isinstance(outcome, Reply):
        # A proxy's 504 may pass; a time that was set and is up does not come back.
        return outcome.status in _AGAIN and not isinstance(error_of(outcome), DeadlineError)
    return isinstance(outcome, ConnectError)
