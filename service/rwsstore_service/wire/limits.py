"""Limits on a request's body and on requests at once, and headers that browsers obey: pure ASGI."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore_service.settings import Settings
from rwsstore_service.wire.problems import ProblemError, problem_response

HEALTH_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Answered however busy the service is."""

IMAGE_PATHS = r"/v1/models/[^/]+/predict|/v2/models/[^/]+(/versions/[^/]+)?/infer"
"""Where images are sent: the paths of the routes that predict, as a pattern."""

_IMAGES = re.compile(IMAGE_PATHS)
_JSON_BYTES = 2**20

CLOSE = {"Connection": "close"}
"""Said where a body is left unread: the client need not send it, and nobody throws it away."""


async def send_problem(problem: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a problem."""
    request_id = scope.get("state", {}).get("request_id", "")
    response = problem_response(problem, instance=scope["path"], request_id=request_id)
    await response(scope, receive, send)


def closing(scope: Scope) -> dict[str, str]:
    """Headers of an answer to a request whose body, if it has one, is left unread."""
    headers = Headers(scope=scope)
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return dict(CLOSE) if has_body else {}


class BodyLimit:
    """Refuses bodies that are too long (413) or compressed (415).

    A declared length is refused before a byte is read; a body that comes in chunks, as soon as it
    is over the limit, and an answer that has begun by then is cut off. Starlette's own middleware
    has one limit for all routes and answers in plain text.

    Compressed bodies are never unpacked: a few kilobytes may hold gigabytes.

    Args:
        limit_for: the most bytes that a request (its scope) may bring.
    """

    def __init__(self, app: ASGIApp, limit_for: Callable[[Scope], int]) -> None:
        self.app = app
        self.limit_for = limit_for

    @classmethod
    def of(cls, app: ASGIApp, settings: Settings) -> Self:
        """Allow what the settings do."""

        def limit_for(scope: Scope) -> int:
            if scope["path"] == "/v1/patches":
                return settings.max_patch_bytes
            return settings.max_body_bytes if _IMAGES.fullmatch(scope["path"]) else _JSON_BYTES

        return cls(app, limit_for)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit_for(scope)
        problem = _refused(Headers(scope=scope), limit)
        if problem is not None:
            await send_problem(problem, scope, receive, send)
            return
        body = _LimitedBody(limit, scope, receive, send)
        with suppress(ClientDisconnect):  # it left, or has its 413: there is nobody to answer
            await self.app(scope, body.receive, body.send)


class _LimitedBody:
    """One request's channels, with the bytes counted."""

    def __init__(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        self._limit, self._scope, self._receive, self._send = limit, scope, receive, send
        self._found, self._answered, self._cut = 0, False, False

    async def receive(self) -> Message:
        if self._cut:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._found += len(message.get("body", b""))
        if self._found <= self._limit:
            return message
        self._cut = True
        if not self._answered:
            problem = _too_large(self._limit, self._found)
            await send_problem(problem, self._scope, self._receive, self._send)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._cut:
            return
        self._answered = True
        await self._send(message)


def _refused(headers: Headers, limit: int) -> ProblemError | None:
    """What is wrong with a body by its headers alone."""
    for value in headers.getlist("content-encoding"):
        if value.strip().lower() not in ("", "identity"):
            return ProblemError(
                "unsupported-media",
                "the body has a Content-Encoding; bodies are read as they are, so send it without",
                headers={"Accept-Encoding": "identity", **CLOSE},
            )
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        return _too_large(limit, int(declared))
    return None


def _too_large(limit: int, found: int) -> ProblemError:
    detail = f"the body has {found} bytes or more; at most {limit} are read here"
    return ProblemError("too-large", detail, headers=CLOSE, limit=limit, found=found)


class InFlight:
    """Answers 503 while a number of requests is being handled, so that their bodies stay few.

    Health checks are neither counted nor refused.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self.app(scope, receive, send)
            return
        if self._active >= self.limit:
            problem = ProblemError(
                "overloaded",
                f"{self.limit} requests are being handled, which is as many as this service "
                "takes; try again in a second",
                headers=closing(scope),
            )
            await send_problem(problem, scope, receive, send)
            return
        self._active += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._active -= 1


API_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of every answer but the documentation's."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""That of /docs and all beneath: Swagger UI from this service, and no script in the page itself."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_POLICY = b"content-security-policy"
_CACHE = (b"cache-control", b"no-store")  # unless the route says how long to keep its answer


class SecurityHeaders:
    """Middleware that puts security headers on every answer; `cors` lets other origins read it."""

    def __init__(self, app: ASGIApp, *, cors: bool = False) -> None:
        self._app = app
        always = dict(_ALWAYS)
        if not cors:
            always["Cross-Origin-Resource-Policy"] = "same-origin"
        raw = [(name.lower().encode("ascii"), value.encode()) for name, value in always.items()]
        # As they are sent, made once for all answers; they take the place of an answer's own.
        self._for_api = [*raw, (_POLICY, API_POLICY.encode())]
        self._for_docs = [*raw, (_POLICY, DOCS_POLICY.encode())]
        self._names = frozenset(name for name, _ in self._for_api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and put the headers on its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        in_docs = path == "/docs" or path.startswith("/docs/")
        ours = self._for_docs if in_docs else self._for_api

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower(), value) for name, value in message.get("headers", ())]
                headers = [one for one in own if one[0] not in self._names] + ours
                if not any(name == _CACHE[0] for name, _ in own):
                    headers.append(_CACHE)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)
