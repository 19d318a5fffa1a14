"""Reading responses: results, or errors; no I/O here."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from rwsstore_client._errors import ApiError, ProtocolError, error_class

_R = TypeVar("_R", bound=BaseModel)


@dataclass(frozen=True)
class Reply:
    """A whole response.

    Attributes:
        status: of HTTP.
        headers: whatever the case of their names.
        content: the body.
    """

    status: int
    headers: httpx.Headers
    content: bytes = b""


def read(reply: Reply, kind: type[_R]) -> _R:
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


def accept(reply: Reply) -> None:
    """Refuse everything but success.

    Raises:
        ApiError: the service answered with a problem.
        ProtocolError: it sends one elsewhere, or answers with something that was not asked for.
    """
    if reply.status >= 400:
        raise error_of(reply)
    if reply.status >= 300:
        target = reply.headers.get("location", "nowhere")
        raise ProtocolError(
            f"the answer is a redirection ({reply.status}) to {target!r}; redirections are not "
            "followed: give the service's own URL"
        )
    if reply.status < 200:
        raise ProtocolError(f"the answer has the status {reply.status}")


def error_of(reply: Reply) -> ApiError:
    """Read a problem; what some proxy answers becomes one too."""
    members = _members(reply)
    known = {name: members.pop(name, None) for name in ("type", "title", "detail", "request_id")}
    texts = {name: value if isinstance(value, str) else "" for name, value in known.items()}
    members.pop("status", None)
    kind = error_class(texts["type"], reply.status)
    title = texts["title"] or httpx.codes.get_reason_phrase(reply.status)
    return kind(
        texts["detail"] or _without_detail(reply.status, title),
        status=reply.status,
        type=texts["type"] or "about:blank",
        title=title,
        request_id=texts["request_id"] or reply.headers.get("x-request-id", ""),
        retry_after=retry_after(reply),
        extra=members,
    )


def _without_detail(status: int, title: str) -> str:
    if status in (404, 405, 501):  # any other web server's answer to a path that it has not
        return f"{title}, and not in the words of a rwsstore service: is this its URL?"
    return title or "the service refused"


def retry_after(reply: Reply) -> float | None:
    """Seconds that a response asks to wait; a date, which some proxies send, is not read."""
    text: str = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdecimal() else None


def _members(reply: Reply) -> dict[str, Any]:
    if "json" not in reply.headers.get("content-type", ""):
        return {}
    try:
        document = json.loads(reply.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
