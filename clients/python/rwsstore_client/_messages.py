"""Building requests, and reading responses: results, or errors; no I/O here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from rwsstore_client._errors import ApiError, ProtocolError, error_class
from rwsstore_client._images import Encoded
from rwsstore_client.contract import PatchSet

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
        texts: instead of these, fields of a form by name.
        images: of the form: name, bytes and media type of each file.
        once: never try again.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[tuple[str, bytes, str]] = ()
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


def predict_request(model: str, images: Sequence[Encoded], options: Query) -> Request:
    """Ask what images show: one as the body, several as a form.

    Args:
        model: its name.
        images: one or more.
        options: patchset, top_k and timeout_ms.
    """
    where, texts = path("v1", "models", model, "predict"), _pairs(options)
    if len(images) == 1 and len(str(options["patchset"])) <= _MAX_QUERY:
        headers = {"Content-Type": images[0].media_type}
        return Request("POST", where, texts, headers, images[0].data)
    # The caller's own names of files stay with the caller.
    files = [(str(number), image.data, image.media_type) for number, image in enumerate(images)]
    # A boundary of ours, so that every try sends the same bytes.
    headers = {"Content-Type": f"multipart/form-data; boundary=rws-{uuid4().hex}"}
    return Request("POST", where, headers=headers, texts=dict(texts), images=files)


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


_R = TypeVar("_R", bound=BaseModel)


def read(reply: httpx.Response, kind: type[_R]) -> _R:
    """Read a result.

    Raises:
        ApiError: the service answered with a problem.
        ProtocolError: the answer is no such result.
    """
    accept(reply)
    try:
        return kind.model_validate_json(reply.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ProtocolError(
            f"the answer is no {kind.__name__} ({where or 'body'}: {first['msg']}); is this the "
            "URL of a rwsstore service?"
        ) from None


def accept(reply: httpx.Response) -> None:
    """Refuse everything but success.

    Raises:
        ApiError: the service answered with a problem.
        ProtocolError: it sends one elsewhere, or answers with something that was not asked for.
    """
    if reply.status_code >= 400:
        raise error_of(reply)
    if reply.status_code >= 300:
        target = reply.headers.get("location", "nowhere")
        raise ProtocolError(
            f"the answer is a redirection ({reply.status_code}) to {target!r}; redirections are "
            "not followed: give the service's own URL"
        )
    if reply.status_code < 200:
        raise ProtocolError(f"the answer has the status {reply.status_code}")


def error_of(reply: httpx.Response) -> ApiError:
    """Read a problem; what some proxy answers becomes one too."""
    members = _members(reply)
    known = {name: members.pop(name, None) for name in ("type", "title", "detail", "request_id")}
    texts = {name: value if isinstance(value, str) else "" for name, value in known.items()}
    members.pop("status", None)
    kind = error_class(texts["type"], reply.status_code)
    title = texts["title"] or httpx.codes.get_reason_phrase(reply.status_code)
    detail = texts["detail"] or title or "the service refused"
    if not texts["detail"] and reply.status_code in (404, 405, 501):  # any web server's answer
        detail = f"{title}, and not in the words of a rwsstore service: is this its URL?"
    return kind(
        detail,
        status=reply.status_code,
        type=texts["type"] or "about:blank",
        title=title,
        request_id=texts["request_id"] or reply.headers.get("x-request-id", ""),
        retry_after=retry_after(reply),
        extra=members,
    )


def retry_after(reply: httpx.Response) -> float | None:
    """Seconds that a response asks to wait; a date, which some proxies send, is not read."""
    text: str = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdecimal() else None


def _members(reply: httpx.Response) -> dict[str, Any]:
    if "json" not in reply.headers.get("content-type", ""):
        return {}
    try:
        document = json.loads(reply.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
