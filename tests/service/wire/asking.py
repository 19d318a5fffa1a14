"""Asks an ASGI app without a server; a body that nobody may read fails the test."""

__all__ = ["ADMIN", "READER", "Answer", "Clock", "Route", "ask", "bearer", "settings_of"]

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore_service.settings import Settings

ADMIN = "an-admin-token-0123456789"
READER = "a-reader-token:0123456789"


@dataclass
class Clock:
    """A clock that stands still until it is told otherwise."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Headers
    body: bytes

    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = json.loads(self.body)
        assert body["status"] == self.status
        return body

    def kind(self) -> str:
        return str(self.problem()["type"]).removeprefix("urn:rwsstore:problem:")


class Route:
    """An app that answers 200 and remembers the scopes that reached it."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self.scopes: list[Scope] = []
        self.headers = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": b"reached"})


def settings_of(**values: Any) -> Settings:
    """Make settings with one admin and one reader, but for what is named."""
    tokens = {"admin_tokens": f"alice:{ADMIN}", "predict_tokens": f"bob:{READER}"}
    return Settings.of(**{**tokens, **values})


def bearer(token: str) -> tuple[bytes, bytes]:
    """Give the header that holds a token."""
    return (b"authorization", b"Bearer " + token.encode("latin-1"))


def ask(
    app: ASGIApp,
    method: str = "GET",
    path: str = "/v1/models",
    *headers: tuple[bytes, bytes],
    host: bytes | None = b"localhost:8000",
    client: tuple[str, int] | None = ("192.0.2.1", 4000),
    request_id: str = "r1",
    root_path: str = "",
) -> Answer:
    """Send one request whose body must not be read."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [*([(b"host", host)] if host is not None else []), *headers],
        "client": client,
        "state": {"request_id": request_id},
    }
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    asyncio.run(_call(app, scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], Headers(raw=sent[0]["headers"]), body)


async def _call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
