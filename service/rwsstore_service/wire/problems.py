"""Errors as RFC 9457 problems: one shape on every route, and one row for each kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from rwsstore.errors import RwsError


@dataclass(frozen=True)
class ProblemKind:
    """One kind of problem.

    Attributes:
        name: the last part of its type URI, `urn:rwsstore:problem:NAME`.
        status: of the response.
        title: the same for every problem of this kind.
    """

    name: str
    status: int
    title: str


_KINDS = (
    ProblemKind("bad-request", 400, "The request cannot be read"),
    ProblemKind("unauthorized", 401, "A token is needed"),
    ProblemKind("forbidden", 403, "This token does not allow it"),
    ProblemKind("not-found", 404, "There is no such thing"),
    ProblemKind("unknown-patch", 404, "There is no such patch"),
    ProblemKind("unknown-model", 404, "There is no such model"),
    ProblemKind("unknown-generation", 404, "There is no such generation"),
    ProblemKind("not-applied", 404, "The patch is not on"),
    ProblemKind("method-not-allowed", 405, "The resource has no such method"),
    ProblemKind("request-timeout", 408, "The request came too slowly"),
    ProblemKind("conflict", 409, "Somebody else was first"),
    ProblemKind("duplicate-patch", 409, "The patch is stored already"),
    ProblemKind("patch-in-use", 409, "The patch is in use"),
    ProblemKind("read-only", 409, "This cannot be changed"),
    ProblemKind("other-model", 409, "It belongs to another model"),
    ProblemKind("stale-generation", 412, "The patch set has changed since"),
    ProblemKind("too-large", 413, "The request is too large"),
    ProblemKind("unsupported-media", 415, "This kind of content is not read"),
    ProblemKind("misdirected", 421, "This host is not served here"),
    ProblemKind("invalid-request", 422, "A value is not allowed"),
    ProblemKind("invalid-image", 422, "The image cannot be used"),
    ProblemKind("invalid-patch", 422, "This is not a patch"),
    ProblemKind("wrong-model", 422, "The patch does not belong on this model"),
    ProblemKind("golden-mismatch", 422, "The patch does not do what it recorded"),
    ProblemKind("not-finite", 422, "The numbers are not finite"),
    ProblemKind("idempotency-mismatch", 422, "The idempotency key was used for something else"),
    ProblemKind("precondition-required", 428, "If-Match is needed"),
    ProblemKind("rate-limited", 429, "Too many requests"),
    ProblemKind("headers-too-large", 431, "The headers are too large"),
    ProblemKind("internal", 500, "The service failed"),
    ProblemKind("overloaded", 503, "The service is busy"),
    ProblemKind("unavailable", 503, "The service cannot do this now"),
    ProblemKind("integrity", 503, "Stored data is damaged"),
    ProblemKind("deadline-exceeded", 504, "The prediction was not begun in time"),
    ProblemKind("storage-full", 507, "Nothing more can be stored"),
)

PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every kind of problem, by name."""


MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """Leaves a route as a problem.

    Args:
        kind: a name in `PROBLEMS`.
        detail: what was found, what was expected, what to do.
        headers: of the response; a 503 that does not say when to ask again gets Retry-After: 1.
        extra: further members of the body.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[kind]
        self.detail = detail
        self.headers = dict(headers or {})
        if self.kind.status == 503:
            self.headers.setdefault("Retry-After", "1")
        self.extra = extra


def describe(error: RwsError) -> ProblemError:
    """Make the problem that one of the library's errors says it is."""
    members: dict[str, Any] = dict(error.members)
    return ProblemError(error.problem, error.public, **members)


class _ProblemResponse(JSONResponse):
    """Leaves the kind of problem in `scope["state"]["problem"]`, of the first that is answered."""

    media_type = MEDIA_TYPE

    def __init__(self, error: ProblemError, body: dict[str, Any]) -> None:
        super().__init__(body, status_code=error.kind.status, headers=error.headers)
        self._kind = error.kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {}).setdefault("problem", self._kind.name)
        await super().__call__(scope, receive, send)


def problem_response(error: ProblemError, *, instance: str, request_id: str) -> JSONResponse:
    """Write a problem as a response."""
    known = problem_body(error.kind, error.detail, instance=instance, request_id=request_id)
    return _ProblemResponse(error, {**error.extra, **known})


def problem_body(
    kind: ProblemKind, detail: str, *, instance: str, request_id: str
) -> dict[str, Any]:
    """The body of every problem; those of some kinds have more members."""
    # Clients of the Open Inference Protocol look for the detail there.
    oip = {"error": detail} if instance == "/v2" or instance.startswith("/v2/") else {}
    return {
        **oip,
        "type": f"urn:rwsstore:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of the problems that a route answers with.

    Each has an example of its name, which stands in the document's components.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    titles: dict[int, list[str]] = {}
    for kind in map(PROBLEMS.__getitem__, dict.fromkeys(names)):
        schema = {"$ref": "#/components/schemas/Problem"}
        content = {MEDIA_TYPE: {"schema": schema, "examples": {}}}
        response = responses.setdefault(kind.status, {"description": "", "content": content})
        example = {"$ref": f"#/components/examples/{kind.name}"}
        response["content"][MEDIA_TYPE]["examples"][kind.name] = example
        titles.setdefault(kind.status, []).append(kind.title)
        response["description"] = "; ".join(titles[kind.status])
    return responses
