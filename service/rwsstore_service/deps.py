"""What routes depend on: the service, the model that a path names, who asks.

All are coroutines, though none waits for anything: FastAPI sends a plain function to a thread.
"""

__all__ = [
    "ActorDep",
    "AdminDep",
    "HostDep",
    "KeyDep",
    "PatchPath",
    "ReaderDep",
    "ServiceDep",
]

from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request

from rwsstore_service.engine.host import ModelHost
from rwsstore_service.engine.records import Actor
from rwsstore_service.engine.service import Service
from rwsstore_service.problems import ProblemError
from rwsstore_service.schemas.fields import MODEL_NAME_PATTERN, REFERENCE_PATTERN
from rwsstore_service.security.tokens import Access, Principal


async def service_of(request: Request) -> Service:
    """The service behind the app."""
    return cast("Service", request.app.state.service)


async def actor_of(request: Request) -> Actor:
    """Who asks; the gate has found out and decided already whether they may."""
    principal = _principal(request)
    access = cast("Access", request.app.state.access)
    return _actor(request, access.check("nobody", principal))


async def admin_of(request: Request) -> Actor:
    """Who asks, with an admin token.

    Raises:
        ProblemError: there is none, or it is for reading.
    """
    access = cast("Access", request.app.state.access)
    return _actor(request, access.admin(_principal(request)))


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


def _actor(request: Request, name: str) -> Actor:
    address = request.client.host if request.client else ""
    return Actor(name, address, request.scope.get("state", {}).get("request_id", ""))


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
ReaderDep = ActorDep
AdminDep = Annotated[Actor, Depends(admin_of)]
KeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,128}$",
        description="Makes it safe to send the request again: the same key with the same request "
        "is answered as it was the first time, and nothing is done twice.",
    ),
]
