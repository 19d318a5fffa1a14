"""The gate in front of every route: which host, who asks, how often, and whether they may.

A page on the web can have its own name resolve to 127.0.0.1 and then speak to a service there as
its own origin (DNS rebinding). What it cannot change is the Host header, which holds that name.
Such a name is one of the public DNS, so it has a dot; addresses and names of one word are none.

It decides by method, path and headers alone, so that nobody's body is read who may not send it.
"""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Literal

from starlette._utils import get_route_path  # the path that routers match
from starlette.types import ASGIApp, Receive, Scope, Send

from rwsstore.cache import LruCache
from rwsstore.errors import ConfigError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import HEALTH_PATHS, IMAGE_PATHS, closing, send_problem
from rwsstore_service.wire.problems import ProblemError

_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9-]{1,63}")


class Hosts:
    """Which Host headers are answered; addresses and names of one word (localhost) always are.

    Of names with a dot those of the settings; without any, only a loopback address is choosy.
    """

    def __init__(self, settings: Settings) -> None:
        self._choosy = settings.on_loopback or bool(settings.allowed_hosts)
        self._names = frozenset(name.lower() for name in settings.allowed_hosts)

    def check(self, values: Sequence[str]) -> None:
        """Refuse a request by the values of its Host header: one is expected.

        Raises:
            ProblemError: `misdirected`.
        """
        if not self._choosy:
            return
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        name = match[1].lower() if match else ""
        if not (name in self._names or _WORD.fullmatch(name) or _is_address(name)):
            raise ProblemError(
                "misdirected",
                "the Host header holds a name that this service does not answer to; use "
                "localhost or an address, or name the host in RWS_ALLOWED_HOSTS",
            )


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
        self._burst, self._clock = burst, clock
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


ANONYMOUS = "anonymous"
"""The actor's name where no token is needed and none was given."""

Role = Literal["admin", "predict"]

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="rwsstore"'}
_CREDENTIALS = re.compile(r"bearer {1,8}([!-~]{1,512})", re.IGNORECASE)
_GUESSABLE = 16


@dataclass(frozen=True)
class Principal:
    """Whose token it was: the token's name, and what it is for."""

    name: str
    role: Role


class Tokens:
    """The bearer tokens of one process. Only keyed hashes are kept, under a key made at start.

    Attributes:
        guessable: names of tokens with less than 16 characters; `create_app` warns of them.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._entries: dict[bytes, Principal] = {}
        self.guessable: tuple[str, ...] = ()

    def add(self, principal: Principal, token: str, where: str) -> None:
        """Know one more token.

        Args:
            principal: whose it is.
            token: ASCII.
            where: it was configured; all that messages say of it.

        Raises:
            ConfigError: its name or the token is there already.
        """
        if any(known.name == principal.name for known in self._entries.values()):
            raise ConfigError(f"{where}: its name is another token's too; names are unique")
        if self._find(token) is not None:
            raise ConfigError(f"{where}: the same token is there under another name")
        self._entries[self._digest(token)] = principal
        if len(token) < _GUESSABLE:
            self.guessable = (*self.guessable, principal.name)

    def has(self, role: Role) -> bool:
        """Whether any token is for this role."""
        return any(principal.role == role for principal in self._entries.values())

    def identify(self, authorization: str | None) -> Principal | None:
        """Tell whose token a request's Authorization header holds; None without a header.

        Raises:
            ProblemError: `unauthorized`, the same for a malformed header and a wrong token.
        """
        if authorization is None:
            return None
        match = _CREDENTIALS.fullmatch(authorization)
        principal = self._find(match[1]) if match else None
        if principal is None:
            raise ProblemError(
                "unauthorized",
                "the Authorization header holds no token that is known here; send "
                "'Authorization: Bearer TOKEN', or no such header where no token is needed",
                headers=_CHALLENGE,
            )
        return principal

    def _find(self, token: str) -> Principal | None:
        # Every entry is compared, so that time does not tell which one it was.
        digest, found = self._digest(token), None
        for known, principal in self._entries.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode("ascii"), hashlib.sha256)


Need = Literal["admin", "reader", "token", "nobody"]
"""What a request asks for: an admin's token; a token, if readers have some; a token; nothing."""


class Access:
    """Decides who may do what: in the gate, before anything is read. OpenAPI says the same.

    Without tokens for reading and predicting, that is open to all.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._readers = tokens.has("predict")
        metrics: Need = "nobody" if settings.open_metrics else "token"
        # Browsers ask with OPTIONS before they send a token.
        asking: Need = "nobody" if settings.cors_origins else "reader"
        reads, posts, options = ("GET", "HEAD"), ("POST",), ("OPTIONS",)
        # The first row that fits counts; what fits none is an admin's.
        rows: tuple[tuple[tuple[str, ...], str, Need], ...] = (
            (posts, IMAGE_PATHS, "reader"),
            (posts, r"/v2/repository/index", "reader"),
            (reads, "|".join(HEALTH_PATHS), "nobody"),
            (reads, r"/docs(/.*)?|/openapi\.json", "nobody"),
            (reads, r"/metrics.*", metrics),
            # Whatever else a router takes for the history ("history%0A") is an admin's too.
            (reads, r"(/v1/models/[^/]+/history|/v1/audit).*", "admin"),
            (reads, r".*", "reader"),
            (options, r".*", asking),
        )
        self._rows = tuple(
            (methods, re.compile(path, re.DOTALL), need) for methods, path, need in rows
        )

    def need(self, method: str, path: str) -> Need:
        """Say what a request needs, by its method (in capitals) and path (decoded)."""
        for methods, pattern, need in self._rows:
            if method in methods and pattern.fullmatch(path):
                return need
        return "admin"

    def check(self, need: Need, principal: Principal | None) -> None:
        """Refuse who may not do what needs `need`.

        Raises:
            ProblemError: `unauthorized` without a token, `forbidden` with one that does not do.
        """
        if need == "nobody" or (need == "reader" and not self._readers):
            return
        if principal is None:
            wanted = "an admin token" if need == "admin" else "a token"
            raise ProblemError(
                "unauthorized",
                f"{wanted} is needed for this; send it as 'Authorization: Bearer TOKEN'",
                headers=_CHALLENGE,
            )
        if need == "admin" and principal.role != "admin":
            raise ProblemError(
                "forbidden",
                f"the token {principal.name!r} is for reading and predicting; this needs an admin "
                "token",
            )


class Gate:
    """Middleware that refuses requests by host, token and rate, and says who the others are from.

    The principal (None without a token) is left in `scope["state"]["principal"]`, for the log of
    what is refused too. A token that is wrong is refused on open routes as well, so that its owner
    hears of it, and counts for its address. Health checks are neither limited nor asked for
    anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        tokens: Tokens,
        access: Access,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._tokens, self._access = app, tokens, access
        self._limiter = RateLimiter(settings.rate_limit, settings.rate_burst, clock=clock)
        self._hosts = Hosts(settings)

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
        method, path = scope["method"], get_route_path(scope)
        if method in ("GET", "HEAD") and path in HEALTH_PATHS:
            return
        self._hosts.check(_values(scope, b"host"))
        address = f"address {address_key((scope.get('client') or ('',))[0])}"
        given = _values(scope, b"authorization")
        try:  # two of them are joined, which no token is
            principal = self._tokens.identify(", ".join(given) if given else None)
        except ProblemError:
            self._take(address)
            raise
        scope["state"]["principal"] = principal
        self._take(address if principal is None else f"token {principal.name}")
        self._access.check(self._access.need(method, path), principal)

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
