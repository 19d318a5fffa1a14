"""What OpenAPI says of the headers of answers."""

__all__ = ["ETAG", "HEADERS", "LOCATION", "headers_of"]

from typing import Any

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's own, or one that was made for it; in the logs too.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "5f0c6ad09c1d4d7b",
    },
    "ETag": {
        "description": "The generation in quotes, for If-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
        "example": '"7"',
    },
    "Location": {
        "description": "Path of the stored patch.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/v1/patches/[a-z0-9_.-]+@[0-9]+$"},
        "example": "/v1/patches/foggy_night@1",
    },
    "Idempotency-Replayed": {
        "description": "Present where the answer was given before to the same Idempotency-Key.",
        "schema": {"const": "true"},
    },
    "Retry-After": {
        "description": "Whole seconds until it makes sense to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "How to send a token.",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="rwsstore"',
    },
}
"""By name, as components of the document."""

_OF_STATUS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def _reference(name: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"}}


ETAG = {"headers": _reference("ETag")}
"""Of an answer that is a patch set."""

LOCATION = {"headers": _reference("Location")}
"""Of an answer to what was stored."""


def headers_of(status: int, *, changes: bool) -> dict[str, Any]:
    """Headers that every answer of a status has.

    Args:
        status: of the answer.
        changes: whether the operation takes an Idempotency-Key.
    """
    names = ["X-Request-ID"]
    if status in _OF_STATUS:
        names.append(_OF_STATUS[status])
    if changes and status < 300:
        names.append("Idempotency-Replayed")
    return {name: header for one in names for name, header in _reference(one).items()}
