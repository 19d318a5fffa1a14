"""Errors as RFC 9457 problems: one shape on every route, and one row for each kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
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
        example: a detail as one of its problems has it.
        members: of the body, beyond what every problem has, in that example.
    """

    name: str
    status: int
    title: str
    example: str
    members: Mapping[str, Any] = field(default_factory=dict)


_KINDS = (
    ProblemKind("bad-request", 400, "The request cannot be read",
        "the JSON cannot be read: Expecting value: line 1 column 11 (char 10)"),
    ProblemKind("unauthorized", 401, "A token is needed",
        "an admin token is needed: send Authorization: Bearer TOKEN"),
    ProblemKind("forbidden", 403, "This token does not allow it",
        "token 'camera' is for reading and predicting; this needs an admin token"),
    ProblemKind("not-found", 404, "There is no such thing",
        "there is nothing at /v1/model; see /docs"),
    ProblemKind("unknown-patch", 404, "There is no such patch",
        "no patch named 'smog' in the store."),
    ProblemKind("unknown-model", 404, "There is no such model",
        "there is no model 'other'; served is: bundled"),
    ProblemKind("unknown-generation", 404, "There is no such generation",
        "there is no generation 99; 7 is active"),
    ProblemKind("not-applied", 404, "The patch is not on",
        "patch 'frost' is not on; on are: fog, gaussian_noise"),
    ProblemKind("method-not-allowed", 405, "The resource has no such method",
        "POST is not for /v1/models; see /docs"),
    ProblemKind("request-timeout", 408, "The request came too slowly",
        "the request's body did not end within 30 s (RWS_BODY_TIMEOUT)"),
    ProblemKind("conflict", 409, "Somebody else was first",
        "'foggy_night' is at version 2, not 1 as expected: look at it, then try again."),
    ProblemKind("duplicate-patch", 409, "The patch is stored already",
        "foggy_night@1 is this very patch (0c52c2bd9a0e) already",
        {"digest": "0c52c2bd9a0e" + 52 * "0", "name": "foggy_night", "version": 1}),
    ProblemKind("patch-in-use", 409, "The patch is in use",
        "patch 'foggy_night' is in the active patch set: take it off first"),
    ProblemKind("read-only", 409, "This cannot be changed",
        "patch 'fog' comes with rwsstore and cannot be deleted"),
    ProblemKind("other-model", 409, "It belongs to another model",
        "generation 3 belongs to the clean weights 5b0f7d41c2aa, this model has 12a9e2e4f0d3"),
    ProblemKind("stale-generation", 412, "The patch set has changed since",
        "generation 6 was expected, 7 is active: read the patch set again, then change it",
        {"current_generation": 7}),
    ProblemKind("too-large", 413, "The request is too large",
        "the body has 314572800 bytes or more; at most 67108864 are read here",
        {"limit": 67_108_864, "found": 314_572_800}),
    ProblemKind("unsupported-media", 415, "This kind of content is not read",
        "Content-Type is 'text/plain'; expected application/json"),
    ProblemKind("misdirected", 421, "This host is not served here",
        "the Host header holds a name that this service does not answer to; use localhost or an "
        "address, or name the host in RWS_ALLOWED_HOSTS"),
    ProblemKind("invalid-request", 422, "A value is not allowed",
        "body.alpha: Input should be a finite number",
        {"errors": [{"where": "body.alpha", "message": "Input should be a finite number"}]}),
    ProblemKind("invalid-image", 422, "The image cannot be used",
        "image 2 of 3 is not a whole JPEG"),
    ProblemKind("invalid-patch", 422, "This is not a patch",
        "patch: 3 bytes; a safetensors file begins with 8 bytes of length."),
    ProblemKind("wrong-model", 422, "The patch does not belong on this model",
        "patch 'fog' was extracted from other clean weights (5b0f7d41c2aa) than the model's "
        "(12a9e2e4f0d3)"),
    ProblemKind("golden-mismatch", 422, "The patch does not do what it recorded",
        "patch 'fog' gives other logits on its probe batch than it recorded"),
    ProblemKind("not-finite", 422, "The numbers are not finite",
        "the logits of a probe batch are not finite with these patches; give them smaller "
        "strengths"),
    ProblemKind("idempotency-mismatch", 422, "The idempotency key was used for something else",
        "this Idempotency-Key was used for another request: make a new one"),
    ProblemKind("precondition-required", 428, "If-Match is needed",
        "send If-Match with the ETag of the patch set that this replaces, or *"),
    ProblemKind("rate-limited", 429, "Too many requests",
        "too many requests; the next one is taken in 1 s"),
    ProblemKind("headers-too-large", 431, "The headers are too large",
        "the request's line and headers have more than 32768 bytes",
        {"limit": 32_768}),
    ProblemKind("internal", 500, "The service failed", "see the service's log"),
    ProblemKind("overloaded", 503, "The service is busy",
        "64 requests are being handled, which is as many as this service takes; try again in a "
        "second"),
    ProblemKind("unavailable", 503, "The service cannot do this now", "the service is stopping"),
    ProblemKind("integrity", 503, "Stored data is damaged",
        "object ec504355d639 does not have the content that its name says; it was set aside"),
    ProblemKind("deadline-exceeded", 504, "The prediction was not begun in time",
        "the prediction was not begun in the time that it may wait: allow more (timeout_ms, or "
        "timeout in microseconds), or ask for less at once"),
    ProblemKind("storage-full", 507, "Nothing more can be stored",
        "no space left to write the patch; nothing was changed"),
)  # fmt: skip

PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every kind of problem, by name."""


MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One value that is not allowed."""

    where: str
    message: str


class Problem(BaseModel):
    """The body of every error (RFC 9457): the first six always, others where they apply."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:rwsstore:problem:` and the kind of problem.")
    title: str = Field(description="The same for every problem of this kind.")
    status: int
    detail: str = Field(description="What was found, what was expected, what to do.")
    instance: str = Field(description="The path that was asked.")
    request_id: str
    errors: list[Fault] = Field([], description="Of `invalid-request`: each value and its fault.")
    current_generation: int = Field(0, description="Of `stale-generation`: what is active.")
    digest: str = Field("", description="Of `duplicate-patch`, with `name` and `version`.")
    limit: int = Field(0, description="Of some `too-large`, with what was `found`.")
    error: str = Field("", description="Under /v2: the detail again, where its clients look.")


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
    known = _body(error.kind, error.detail, instance=instance, request_id=request_id)
    return _ProblemResponse(error, {**error.extra, **known})


def _body(kind: ProblemKind, detail: str, *, instance: str, request_id: str) -> dict[str, Any]:
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


def problem_examples() -> dict[str, dict[str, Any]]:
    """One example of each kind of problem, as components of the OpenAPI document."""
    where = {"instance": "/v1/models/bundled/patchset/fog", "request_id": "5f0c6ad09c1d4d7b"}
    return {
        name: {
            "summary": kind.title,
            "value": {**_body(kind, kind.example, **where), **kind.members},
        }
        for name, kind in PROBLEMS.items()
    }
