"""The gate in front of every route: which host, who asks, how often, and whether they may.

A page on the web can have its own name resolve to 127.0.0.1 and then speak to a service there as
its own origin (DNS rebinding). What it cannot change is the Host header, which holds that name.
Such a name is one of the public DNS, so it has a dot; addresses and names of one word are none.

It decides by method, path and headers alone, so that nobody's body is read who may not send it.
"""

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from rwsstore.cache import LruCache
from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import HEALTH_PATHS, closing, send_problem
from rwsstore_service.wire.problems import ProblemError
from rwsstore_service.wire.tokens import Access, Need, Tokens

_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9-]{1,63}")


@dataclass(frozen=True)
class Hosts:
    """Which Host headers are answered.

    Attributes:
        names: those with a dot that are answered, in lower case, without ports; None answers to
            every name. Addresses and names of one word (localhost, edge-box) always are.
    """

    names: frozenset[str] | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the names from the settings; without any, only a loopback address is choosy."""
        if not settings.on_loopback and not settings.allowed_hosts:
            return cls(None)
        return cls(frozenset(name.lower() for name in settings.allowed_hosts))

    def check(self, values: Sequence[str]) -> None:
        """Refuse a request by the values of its Host header: one is expected.

        Raises:
            ProblemError: `misdirected`.
        """
        if self.names is None:
            return
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None or not self._answers(match[1].lower()):
            raise ProblemError(
                "misdirected",
                "the Host header holds a name that this service does not answer to; use "
                "localhost or an address, or name the host in RWS_ALLOWED_HOSTS",
            )

    def _answers(self, name: str) -> bool:
        assert self.names is not None  # noqa: S101  (asked before)
        return name in self.names or bool(_WORD.fullmatch(name)) or _is_address(name)


@lru_cache(maxsize=256)  # most requests name the same
def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class RateLimiter:
    """A token bucket for each key, in a table of bounded size.

    A bucket is kept as the one moment at which it will be full again (the generic cell rate
    algorithm of ITU-T I.371), so that taking from it needs constant time and no timer. When the
    table is full, the key that was used longest ago is forgotten: its bucket counts as full.

    Args:
        rate: requests a second; 0 is no limit.
        burst: requests that may come at once.
        clock: seconds, never going back.
        capacity: most keys that are remembered.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 10_000,
    ) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._burst = burst
        self._clock = clock
        self._full_at = LruCache[str, float](capacity)

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float | None:
        """Take one request; give None if it may go on, else the seconds until one may.

        A request that is refused takes nothing.
        """
        if not self._interval:
            return None
        now = self._clock()
        full_at = max(self._full_at.get(key) or now, now)
        wait = full_at - now - (self._burst - 1) * self._interval
        # Less than a millionth of an interval is the rounding of the clock, not a request too many.
        if wait > 1e-6 * self._interval:
            return wait
        self._full_at.put(key, full_at + self._interval)
        return None


@lru_cache(maxsize=1024)  # it is asked once a request, and connections send many
def address_key(address: str) -> str:
    """Give the part of an address that one client cannot choose: IPv4 whole, IPv6 its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # a local socket
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))


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
