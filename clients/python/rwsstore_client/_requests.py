"""Building requests; no I/O here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

from rwsstore_client._images import Encoded
from rwsstore_client._results import PatchSet

Match = int | PatchSet | Literal["*"]
"""What must be active for a change to be made: a generation, the patch set that one has seen, or
"*": whatever there is."""

Query = Mapping[str, str | int | bool | None]

_MAX_QUERY = 4096  # a longer patch set goes into a form: services bound their headers


@dataclass(frozen=True)
class Request:
    """A request, as the transport sends it, as often as it must.

    Attributes:
        method: GET, PUT, ...
        path: below the service's URL, quoted.
        query: names and values, not quoted.
        headers: further headers.
        body: its bytes.
        once: never try again.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    once: bool = False


def path(*segments: str) -> str:
    """Join the segments of a path, quoting each.

    Raises:
        ValueError: one is empty or dots, and would lead to another resource.
    """
    for segment in segments:
        if segment in ("", ".", ".."):
            raise ValueError(f"{segment!r} cannot be a name")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def get(where: str, query: Query | None = None) -> Request:
    """Ask for something."""
    return Request("GET", where, _pairs(query))


def change(
    method: str,
    where: str,
    *,
    document: Mapping[str, Any] | None = None,
    content: bytes | None = None,
    query: Query | None = None,
    if_match: Match | None = None,
) -> Request:
    """Change something, with an idempotency key: sent again, it is done once.

    Args:
        method: PUT, ...
        where: the path.
        document: body, as JSON.
        content: body, as it is.
        query: of the URL.
        if_match: the condition.
    """
    headers = {"Idempotency-Key": uuid4().hex}
    if if_match is not None:
        headers["If-Match"] = _etag(if_match)
    body = content
    if document is not None:
        body = json.dumps(document, allow_nan=False).encode()
    if body is not None:
        headers["Content-Type"] = (
            "application/octet-stream" if document is None else "application/json"
        )
    return Request(method, where, _pairs(query), headers, body)


def predict_request(
    model: str,
    images: Sequence[Encoded],
    *,
    patchset: str,
    top_k: int | None,
    timeout_ms: int | None,
) -> Request:
    """Ask what images show: one as the body, several as a form."""
    where = path("v1", "models", model, "predict")
    options = _pairs({"patchset": patchset, "top_k": top_k, "timeout_ms": timeout_ms})
    if len(images) == 1 and len(patchset) <= _MAX_QUERY:
        headers = {"Content-Type": images[0].media_type}
        return Request("POST", where, options, headers, images[0].data)
    boundary = f"rws-{uuid4().hex}"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return Request("POST", where, (), headers, _form(images, options, boundary))


def _form(images: Sequence[Encoded], options: Sequence[tuple[str, str]], boundary: str) -> bytes:
    lines: list[bytes] = []
    for name, value in options:
        lines += [f"--{boundary}".encode(), _disposition(name), b"", value.encode()]
    for number, image in enumerate(images):
        filename = f'; filename="{number}"'.encode()  # the caller's own names stay with the caller
        kind = f"Content-Type: {image.media_type}".encode()
        disposition = _disposition("images") + filename
        lines += [f"--{boundary}".encode(), disposition, kind, b"", image.data]
    return b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])


def _disposition(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"'.encode()


def _etag(match: Match) -> str:
    if match == "*":
        return "*"
    return f'"{match.generation if isinstance(match, PatchSet) else match}"'


def _pairs(query: Query | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in (query or {}).items()
        if value is not None
    )
