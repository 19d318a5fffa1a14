"""Headers that keep browsers from doing more with an answer than it is meant for."""

__all__ = ["API_POLICY", "DOCS_POLICY", "SecurityHeaders"]

from starlette.datastructures import MutableHeaders
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


class SecurityHeaders:
    """Middleware that puts security headers on every answer.

    Args:
        app: what answers.
        cors: pages of other origins are configured to read answers.
    """

    def __init__(self, app: ASGIApp, *, cors: bool = False) -> None:
        self._app = app
        self._headers = dict(_ALWAYS)
        if not cors:
            self._headers["Cross-Origin-Resource-Policy"] = "same-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and put the headers on its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        in_docs = path == "/docs" or path.startswith("/docs/")
        policy = DOCS_POLICY if in_docs else API_POLICY

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers["Content-Security-Policy"] = policy
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
