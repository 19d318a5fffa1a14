"""Errors as RFC 9457 problems: one shape on every route."""

__all__ = [
    "MEDIA_TYPE",
    "PROBLEMS",
    "Problem",
    "ProblemError",
    "ProblemKind",
    "describe",
    "problem_response",
    "problem_responses",
]

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from rwsstore.errors import (
    ConflictError,
    FormatError,
    GoldenError,
    IntegrityError,
    MismatchError,
    NotFoundError,
    ReadOnlyError,
    RefusedError,
    RwsError,
    StorageFullError,
    StoreError,
    TensorError,
    TooLargeError,
    UnknownPatchError,
    UnsupportedError,
)
from rwsstore_service.engine.errors import (
    DuplicatePatchError,
    InvalidImageError,
    KeyReusedError,
    NotAppliedError,
    OtherModelError,
    OverloadedError,
    PatchInUseError,
    StaleGenerationError,
    StateLostError,
    StoppingError,
    UnknownGenerationError,
)
from rwsstore_service.oip.errors import oip_members

MEDIA_TYPE = "application/problem+json"


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
    ProblemKind("storage-full", 507, "Nothing more can be stored"),
)

PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every kind of problem, by name."""

_OF_ENGINE: tuple[tuple[type[RwsError], str], ...] = (
    (StaleGenerationError, "stale-generation"),
    (UnknownGenerationError, "unknown-generation"),
    (NotAppliedError, "not-applied"),
    (PatchInUseError, "patch-in-use"),
    (DuplicatePatchError, "duplicate-patch"),
    (OtherModelError, "other-model"),
    (KeyReusedError, "idempotency-mismatch"),
    (OverloadedError, "overloaded"),
    (StoppingError, "unavailable"),
    (StateLostError, "unavailable"),
    (InvalidImageError, "invalid-image"),
)

# The first row that an error is an instance of counts.
_OF_ERRORS: tuple[tuple[type[RwsError], str], ...] = (
    *_OF_ENGINE,
    (UnknownPatchError, "unknown-patch"),
    (NotFoundError, "not-found"),
    (MismatchError, "wrong-model"),
    (GoldenError, "golden-mismatch"),
    (TensorError, "not-finite"),
    (TooLargeError, "too-large"),
    (UnsupportedError, "unsupported-media"),
    (FormatError, "invalid-patch"),
    (RefusedError, "invalid-request"),
    (IntegrityError, "integrity"),
    (ConflictError, "conflict"),
    (ReadOnlyError, "read-only"),
    (StorageFullError, "storage-full"),
    (StoreError, "unavailable"),
)


class Problem(BaseModel):
    """The body of every error (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:rwsstore:problem:unknown-patch",
                    "title": "There is no such patch",
                    "status": 404,
                    "detail": "no patch 'smog' in the store",
                    "instance": "/v1/models/bundled/patchset/smog",
                    "request_id": "5f0c6ad09c1d4d7b",
                }
            ]
        },
    )

    type: str = Field(description="urn:rwsstore:problem: and the kind of problem.")
    title: str
    status: int
    detail: str = Field(description="What was found, what was expected, what to do.")
    instance: str = Field(description="The path that was asked.")
    request_id: str


class ProblemError(Exception):
    """Leaves a route as a problem.

    Args:
        kind: a name in `PROBLEMS`.
        detail: what was found, what was expected, what to do.
        headers: of the response (Retry-After and the like).
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
        self.extra = extra


def describe(error: RwsError) -> ProblemError:
    """Say which problem one of the library's errors is; an unforeseen one is `internal`."""
    name = next((name for kind, name in _OF_ERRORS if isinstance(error, kind)), "internal")
    headers = {"Retry-After": "1"} if PROBLEMS[name].status == 503 else None
    return ProblemError(name, str(error), headers=headers, **_members(error))


def _members(error: RwsError) -> dict[str, Any]:
    if isinstance(error, StaleGenerationError):
        return {"current_generation": error.current}
    if isinstance(error, DuplicatePatchError):
        return {"digest": error.digest, "name": error.name, "version": error.version}
    return {}


def problem_response(error: ProblemError, *, instance: str, request_id: str) -> JSONResponse:
    """Write a problem as a response."""
    body = {
        **error.extra,
        **oip_members(instance, error.detail),
        "type": f"urn:rwsstore:problem:{error.kind.name}",
        "title": error.kind.title,
        "status": error.kind.status,
        "detail": error.detail,
        "instance": instance,
        "request_id": request_id,
    }
    return JSONResponse(
        body, status_code=error.kind.status, headers=error.headers, media_type=MEDIA_TYPE
    )


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of the problems that a route answers with."""
    responses: dict[int | str, dict[str, Any]] = {}
    for name in names:
        kind = PROBLEMS[name]
        titles = [PROBLEMS[other].title for other in names if PROBLEMS[other].status == kind.status]
        responses[kind.status] = {
            "description": "; ".join(titles),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses
