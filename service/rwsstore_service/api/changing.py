"""What all changes have in common: in turn, once a key, counted, answered."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request, Response
from pydantic import BaseModel

from rwsstore.canonical import Digest
from rwsstore.errors import ConflictError, ReadOnlyError, RwsError, StoreError
from rwsstore_service.api.requests import call, metrics_of, service_of
from rwsstore_service.engine.errors import KeyReusedError
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.library import Library
from rwsstore_service.engine.records import Action, Actor
from rwsstore_service.wire.observability import Outcome
from rwsstore_service.wire.problems import ProblemError

CHANGE_PROBLEMS = (
    "bad-request", "unauthorized", "forbidden", "too-large", "unsupported-media",
    "invalid-request", "idempotency-mismatch", "rate-limited", "overloaded", "unavailable",
    "integrity", "storage-full",
)  # fmt: skip
"""What every change may be answered with."""

_REPLAYED = "Idempotency-Replayed"
_SMALL = 1 << 14  # bytes that are hashed in less time than a thread is asked in

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description='The generation that was seen, as its ETag: `"7"`; or `*` for whichever.',
        examples=['"7"'],
    ),
]


@dataclass(frozen=True)
class Ask:
    """A change as it came in.

    Attributes:
        actor: who asks.
        action: what for.
        key: idempotency key.
        fingerprint: of method, path, query, If-Match and body.
    """

    actor: Actor
    action: Action
    key: str | None
    fingerprint: Digest

    @classmethod
    async def of(cls, request: Request, actor: Actor, action: Action, key: str | None) -> "Ask":
        """Read the request's body and take its fingerprint."""
        match = request.headers.get("if-match", "")
        target = f"{request.method} {request.url.path}?{request.url.query}\n{match}\n"
        body = await request.body()
        small = len(body) <= _SMALL  # an uploaded patch may have many megabytes
        fingerprint = await call(small, _hash, target.encode(), body)
        return cls(actor, action, key, fingerprint)


def _hash(*parts: bytes) -> Digest:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def recorded(ask: Ask, status: int, body: BaseModel | None, **headers: str) -> Recorded:
    """Write an answer so that it can be kept; `ETag` becomes a header of that name."""
    text = "" if body is None else body.model_dump_json()
    return Recorded(ask.fingerprint, status, text, headers)


async def carry_out(
    request: Request, ask: Ask, act: Callable[[], tuple[Recorded, Outcome]]
) -> Response:
    """Carry a change out in its turn; or send again what its key was answered with before.

    Args:
        request: to a service, whose changes are made one at a time.
        ask: the change.
        act: makes it, keeps its answer under the key, and gives that and what came of it.

    Raises:
        KeyReusedError: the key was used for another request.
        RwsError, ProblemError: as `act` does.
    """
    service, metrics = await service_of(request), metrics_of(request)

    def once() -> tuple[Recorded, Outcome | None]:
        kept = service.journal.recall(ask.actor.name, ask.key) if ask.key else None
        if kept is None:
            return act()
        if kept.fingerprint != ask.fingerprint:
            raise KeyReusedError(
                "this Idempotency-Key was used for another request: make a new one"
            )
        return kept, None

    try:
        answer, outcome = await service.in_turn(once)
    except Exception as error:
        metrics.changed(ask.action, "failed" if _failed(error) else "refused")
        raise
    if outcome is not None:
        metrics.changed(ask.action, outcome)
    headers = dict(answer.headers)
    if outcome is None:
        headers[_REPLAYED] = "true"
    media_type = "application/json" if answer.body else None
    return Response(answer.body or None, answer.status, headers, media_type)


async def change_store(request: Request, ask: Ask, act: Callable[[Library], Recorded]) -> Response:
    """Carry out a change of the store, as `carry_out`.

    Its answer is kept last: a key that is repeated after a crash must not be answered before the
    deed.

    Args:
        request: to a service.
        ask: the change.
        act: makes it, and gives its answer.
    """
    service = await service_of(request)

    def change() -> tuple[Recorded, Outcome]:
        answer = act(service.library)
        if ask.key:
            service.journal.remember(ask.actor.name, ask.key, answer)
        return answer, "done"

    return await carry_out(request, ask, change)


def _failed(error: Exception) -> bool:
    """Whether the service is to blame, not the caller."""
    if isinstance(error, StoreError):
        return not isinstance(error, ConflictError | ReadOnlyError)
    return not isinstance(error, RwsError | ProblemError)


def if_match(header: str | None) -> frozenset[int] | None:
    """Read If-Match: the generations that it names; None for `*` or no header.

    What is no generation's ETag matches none.
    """
    if header is None or header.strip() == "*":
        return None
    tags = re.findall(r'(?:^|,)\s*"?([0-9]{1,18})"?\s*(?=,|$)', header)
    return frozenset(int(tag) for tag in tags)


def etag(generation: int) -> Mapping[str, str]:
    """The ETag of a generation, as a header."""
    return {"ETag": f'"{generation}"'}
