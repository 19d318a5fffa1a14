"""Headers that keep browsers from doing more with an answer than it is meant for."""

__all__ = ["API_POLICY", "DOCS_POLICY", "SecurityHeaders"]

from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
_POLICY = "Content-Security-Policy"
_CACHE = (b"cache-control", b"no-store")  # unless the route says how long to keep its answer


class SecurityHeaders:
    """Middleware that puts security headers on every answer.

    Args:
        app: what answers.
        cors: pages of other origins are configured to read answers.
    """

    def __init__(self, app: ASGIApp, *, cors: bool = False) -> None:
        self._app = app
        always = dict(_ALWAYS)
        if not cors:
            always["Cross-Origin-Resource-Policy"] = "same-origin"
        self._for_api = _Raw({**always, _POLICY: API_POLICY})
        self._for_docs = _Raw({**always, _POLICY: DOCS_POLICY})

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
                message = {**message, "headers": ours.put_on(message.get("headers", ()))}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _Raw:
    """Headers as they are sent, made once for all answers.

    Args:
        headers: that take the place of an answer's own.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = [
            (name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()
        ]
        self._names = frozenset(name for name, _ in self._headers)

    def put_on(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        own = [(name.lower(), value) for name, value in headers]
        kept = [one for one in own if one[0] not in self._names]
        told = any(name == _CACHE[0] for name, _ in kept)
        return [*kept, *self._headers] if told else [*kept, *self._headers, _CACHE]
