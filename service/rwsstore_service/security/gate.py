"""The gate in front of every route: who asks, how often, and whether they may.

It decides by method, path and headers alone, so that nobody's body is read who may not send it.
"""

__all__ = ["Gate", "needed_role"]

import math
import re

from starlette.types import ASGIApp, Receive, Scope, Send

from rwsstore_service.problems import ProblemError
from rwsstore_service.security.hosts import Hosts
from rwsstore_service.security.ratelimit import RateLimiter, address_key
from rwsstore_service.security.tokens import Access, Need, Tokens
from rwsstore_service.serving.limits import HEALTH_PATHS, closing, send_problem
from rwsstore_service.settings import Settings

_OPEN = re.compile(r"/docs(/.*)?|/openapi\.json", re.DOTALL)
_POSTS_OF_READERS = re.compile(
    r"/v1/models/[^/]+/predict|/v2/models/[^/]+(/versions/[^/]+)?/infer|/v2/repository/index"
)
# Beginnings: whatever else a router takes for the history ("history%0A") is an admin's too.
_HISTORY = re.compile(r"/v1/models/[^/]+/history|/v1/audit")


def needed_role(method: str, path: str, *, open_metrics: bool = True, cors: bool = False) -> Need:
    """Say what a request needs. Whatever is not known to need less is an admin's.

    Args:
        method: in capitals.
        path: decoded, as routes are matched.
        open_metrics: /metrics needs no token.
        cors: browsers ask with OPTIONS before they send a token.
    """
    if method == "OPTIONS":
        return "nobody" if cors else "reader"
    if method == "POST" and _POSTS_OF_READERS.fullmatch(path):
        return "reader"
    if method not in ("GET", "HEAD"):
        return "admin"
    if path in HEALTH_PATHS or _OPEN.fullmatch(path):
        return "nobody"
    if path.startswith("/metrics"):
        return "nobody" if open_metrics else "token"
    return "admin" if _HISTORY.match(path) else "reader"


class Gate:
    """Middleware that refuses requests by host, token and rate, and says who the others are from.

    The principal (None without a token) is left in `scope["state"]["principal"]`, for the log of
    what is refused too. A token that is wrong is refused on open routes as well, so that its owner
    hears of it. Health checks are neither limited nor asked for anything.

    Args:
        app: what answers the requests that pass.
        tokens: that are known.
        limiter: of requests; wrong tokens are counted by address.
        hosts: that are answered to.
        open_metrics: /metrics needs no token.
        cors: OPTIONS needs no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        limiter: RateLimiter,
        hosts: Hosts,
        open_metrics: bool = True,
        cors: bool = False,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._access = Access(tokens)
        self._limiter = limiter
        self._hosts = hosts
        self._open_metrics = open_metrics
        self._cors = cors

    @classmethod
    def of(cls, app: ASGIApp, settings: Settings, tokens: Tokens) -> "Gate":
        """Make the gate that the settings describe."""
        return cls(
            app,
            tokens=tokens,
            limiter=RateLimiter(settings.rate_limit, settings.rate_burst),
            hosts=Hosts.of(settings),
            open_metrics=settings.open_metrics,
            cors=bool(settings.cors_origins),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem."""
        if scope["type"] == "websocket":  # no route is one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            try:
                state["principal"] = None
                self._admit(scope)
            except ProblemError as error:
                error.headers.update(closing(scope))
                await send_problem(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD") and path in HEALTH_PATHS:
            return
        self._hosts.check(_values(scope, b"host"))
        address = f"address {address_key((scope.get('client') or ('',))[0])}"
        try:
            principal = self._tokens.identify(_one(_values(scope, b"authorization")))
        except ProblemError:
            self._take(address)
            raise
        scope["state"]["principal"] = principal
        self._take(address if principal is None else f"token {principal.name}")
        need = needed_role(method, path, open_metrics=self._open_metrics, cors=self._cors)
        self._access.check(need, principal)

    def _take(self, key: str) -> None:
        wait = self._limiter.take(key)
        if wait is not None:
            seconds = max(1, math.ceil(wait))
            raise ProblemError(
                "rate-limited",
                f"too many requests; the next one is taken in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )


def _values(scope: Scope, wanted: bytes) -> list[str]:
    """All values of a header, by its name in small letters: ASGI has all names so."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _one(values: list[str]) -> str | None:
    """Give a header's only value; two of them are joined, which no token is."""
    return ", ".join(values) if values else None
