"""What routes depend on, how strictly queries and JSON bodies are read, how changes are made.

Dependencies are coroutines, though none waits for anything: FastAPI sends a plain function to a
thread.
"""

import hashlib
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from rwsstore.canonical import Digest, read_json
from rwsstore.config import short
from rwsstore.errors import ConflictError, ReadOnlyError, RwsError, StoreError
from rwsstore_service.api.contract import REFERENCE_PATTERN
from rwsstore_service.engine.errors import KeyReusedError
from rwsstore_service.engine.host import ModelHost
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.library import Library
from rwsstore_service.engine.records import Action, Actor
from rwsstore_service.engine.service import Service
from rwsstore_service.settings import MODEL_NAME_PATTERN
from rwsstore_service.wire.gate import ANONYMOUS, Access, Principal
from rwsstore_service.wire.observability import Metrics, Outcome
from rwsstore_service.wire.problems import ProblemError

CHANGE_PROBLEMS = (
    "bad-request", "unauthorized", "forbidden", "too-large", "unsupported-media",
    "invalid-request", "idempotency-mismatch", "rate-limited", "overloaded", "unavailable",
    "integrity", "storage-full",
)  # fmt: skip
"""What every change may be answered with."""

_SMALL_BODY = 1 << 14  # bytes that are hashed in less time than a thread is asked in
_MEDIA_TYPE = "application/json"
# The largest body that means something is a patch set of 1,000 patches.
_MOST_CONTAINERS = 4096

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route whose query and JSON body are looked at here, before FastAPI does.

    FastAPI passes over query parameters that it does not know: with `patchset` misspelt, another
    one would predict. It lets a name stand twice (one of them counts), reads a body of another kind
    as if it were the value, and says of most of what cannot be read only that it cannot.
    """

    def get_route_handler(self) -> _Handler:
        """Put the reading in front of the route."""
        handler = super().get_route_handler()
        known = frozenset(_queries(self.dependant))

        async def read_first(request: Request) -> Response:
            _check_query(request, known)
            read = _Read(request.scope, request.receive)
            body = await read.body()
            if self.body_field is not None and body:
                _check_media(request)
                read.value = _parse(body)
            return await handler(read)

        return read_first


class _Read(Request):
    """A request whose JSON has been read."""

    value: Any = None

    async def json(self) -> Any:
        return self.value


def _queries(dependant: Dependant) -> Iterator[str]:
    """Names of a route's query parameters, those of its dependencies too."""
    yield from (one.alias for one in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _queries(inner)


def _check_query(request: Request, known: Collection[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            told = ", ".join(sorted(known)) or "none"
            raise ProblemError(
                "invalid-request", f"unknown query parameter '{short(name)}'; known here: {told}"
            )
        if names.count(name) > 1:
            raise ProblemError("invalid-request", f"query parameter {name} is given twice")


def _check_media(request: Request) -> None:
    media = request.headers.get("content-type", "")
    if media.partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise ProblemError(
            "unsupported-media", f"Content-Type is {media[:60]!a}; expected {_MEDIA_TYPE}"
        )


def _parse(body: bytes) -> Any:
    """Read JSON. NaN and numbers that are too large stay what they are: they are refused by name.

    Raises:
        ProblemError: it is none, nested too deeply, or has a name twice in an object.
    """
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        raise ProblemError("bad-request", "the JSON holds more lists and objects than any request")
    try:
        return read_json(body, constants=True)
    except ValueError as error:
        raise ProblemError("bad-request", f"the JSON cannot be read: {error}") from None


async def service_of(request: Request) -> Service:
    """The service behind the app."""
    return cast("Service", request.app.state.service)


def metrics_of(request: Request) -> Metrics:
    """Where the app counts."""
    return cast("Metrics", request.app.state.metrics)


async def actor_of(request: Request) -> Actor:
    """Who asks; the gate has decided already that they may."""
    principal = _principal(request)
    name = ANONYMOUS if principal is None else principal.name
    address = request.client.host if request.client else ""
    return Actor(name, address, request.scope.get("state", {}).get("request_id", ""))


def demand_admin(request: Request) -> None:
    """Ask what the gate cannot see: who asks for more by a query needs an admin token.

    Raises:
        ProblemError: there is none, or it is for reading.
    """
    cast("Access", request.app.state.access).check("admin", _principal(request))


async def host_of(
    service: Annotated[Service, Depends(service_of)],
    model: Annotated[
        str, Path(pattern=MODEL_NAME_PATTERN, description="A served model.", examples=["bundled"])
    ],
) -> ModelHost:
    """The model that the path names.

    Raises:
        ProblemError: it is not served here.
    """
    if model not in service.hosts:
        served = ", ".join(service.hosts)
        raise ProblemError("unknown-model", f"there is no model {model!r}; served is: {served}")
    return service.hosts[model]


def _principal(request: Request) -> Principal | None:
    return cast("Principal | None", request.scope.get("state", {}).get("principal"))


PatchPath = Annotated[
    str,
    Path(
        pattern=REFERENCE_PATTERN,
        description="A patch: its name, name@version, digest, or 8 or more of its first digits.",
        examples=["fog"],
    ),
]
ServiceDep = Annotated[Service, Depends(service_of)]
HostDep = Annotated[ModelHost, Depends(host_of)]
ActorDep = Annotated[Actor, Depends(actor_of)]
KeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,128}$",
        description="Makes it safe to send the request again: the same key with the same request "
        "is answered as it was the first time, and nothing is done twice.",
    ),
]


@dataclass(frozen=True)
class Ask:
    """A change as it came in: what every route that changes something depends on.

    Attributes:
        request: to a service, whose changes are made one at a time.
        actor: who asks.
        key: idempotency key.
        fingerprint: of method, path, query, If-Match and body.
    """

    request: Request
    actor: Actor
    key: str | None
    fingerprint: Digest

    def answer(self, status: int, body: BaseModel | None = None, **headers: str) -> Recorded:
        """Write an answer so that it can be kept; `ETag` becomes a header of that name."""
        text = "" if body is None else body.model_dump_json()
        return Recorded(self.fingerprint, status, text, headers)

    async def carry_out(
        self, action: Action, act: Callable[[Service], tuple[Recorded, Outcome]]
    ) -> Response:
        """Carry the change out in its turn; or send again what its key was answered with before.

        Args:
            action: what it is counted as.
            act: makes it, keeps its answer under the key, and gives that and what came of it.

        Raises:
            KeyReusedError: the key was used for another request.
            RwsError, ProblemError: as `act` does.
        """
        service, metrics = await service_of(self.request), metrics_of(self.request)

        def once() -> tuple[Recorded, Outcome | None]:
            kept = service.journal.recall(self.actor.name, self.key) if self.key else None
            if kept is None:
                return act(service)
            if kept.fingerprint != self.fingerprint:
                raise KeyReusedError(
                    "this Idempotency-Key was used for another request: make a new one"
                )
            return kept, None

        try:
            answer, outcome = await service.in_turn(once)
        except Exception as error:
            metrics.changed(action, "failed" if _failed(error) else "refused")
            raise
        headers = dict(answer.headers)
        if outcome is None:
            headers["Idempotency-Replayed"] = "true"
        else:
            metrics.changed(action, outcome)
        media_type = "application/json" if answer.body else None
        return Response(answer.body or None, answer.status, headers, media_type)

    async def change_store(self, action: Action, act: Callable[[Library], Recorded]) -> Response:
        """Carry out a change of the store, as `carry_out`.

        Its answer is kept last: a key that is repeated after a crash must not be answered before
        the deed.
        """

        def change(service: Service) -> tuple[Recorded, Outcome]:
            answer = act(service.library)
            if self.key:
                service.journal.remember(self.actor.name, self.key, answer)
            return answer, "done"

        return await self.carry_out(action, change)


def _failed(error: Exception) -> bool:
    """Whether the service is to blame, not the caller."""
    if isinstance(error, StoreError):
        return not isinstance(error, ConflictError | ReadOnlyError)
    return not isinstance(error, RwsError | ProblemError)


async def _asked(request: Request, actor: ActorDep, key: KeyDep = None) -> Ask:
    match = request.headers.get("if-match", "")
    digest = hashlib.sha256(
        f"{request.method} {request.url.path}?{request.url.query}\n{match}\n".encode()
    )
    body = await request.body()
    if len(body) <= _SMALL_BODY:  # an uploaded patch may have many megabytes
        digest.update(body)
    else:
        await run_in_threadpool(digest.update, body)
    return Ask(request, actor, key, digest.hexdigest())


AskDep = Annotated[Ask, Depends(_asked)]
