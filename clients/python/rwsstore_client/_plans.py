"""Operations as plans: generators that yield requests and are sent the replies.

A plan does no I/O on the network itself, so that the blocking and the asynchronous client share
every one of them. An error of the transport is raised inside the plan, where it waits.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from rwsstore_client._errors import RwsClientError
from rwsstore_client._requests import Request
from rwsstore_client._responses import Reply

T = TypeVar("T")

Plan = Generator[Request, Reply, T]


@dataclass(frozen=True)
class Finished(Generic[T]):
    """What a plan returned."""

    value: T


def advance(plan: Plan[T], outcome: Reply | RwsClientError | None = None) -> Request | Finished[T]:
    """Run a plan to its next request, or to its end.

    Args:
        plan: to go on with.
        outcome: of its last request; None to begin.
    """
    try:
        if outcome is None:
            return next(plan)
        if isinstance(outcome, RwsClientError):
            return plan.throw(outcome)
        return plan.send(outcome)
    except StopIteration as end:
        return Finished(end.value)
