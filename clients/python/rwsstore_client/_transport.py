"""Where the service is, when to try again, and what httpx is told: for both halves."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpx

from rwsstore_client._errors import (
    ConnectError,
    DeadlineError,
    ProtocolError,
    RequestTimeoutError,
    RwsClientError,
)
from rwsstore_client._messages import Request, error_of, retry_after
from rwsstore_client._version import __version__

DEFAULT_URL = "http://127.0.0.1:8000"

# A busy service lets requests queue; a connection is there at once or not at all.
DEFAULT_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


@dataclass(frozen=True)
class Address:
    """A service.

    Attributes:
        url: where it is, without a final slash.
        token: what opens it; never shown.
    """

    url: str
    token: str | None = field(repr=False)


def resolve(url: str | None, token: str | None) -> Address:
    """Take what was given, else RWS_URL and RWS_TOKEN, else the default; "" is no token.

    Raises:
        ValueError: that is no URL, or no token.
    """
    found = url if url is not None else os.environ.get("RWS_URL", "").strip() or DEFAULT_URL
    secret = token if token is not None else os.environ.get("RWS_TOKEN", "")
    secret = secret.strip()
    if not all("!" <= sign <= "~" for sign in secret):
        raise ValueError("the token holds a sign that is not visible ASCII (a space, a line end?)")
    return Address(_checked_url(found), secret or None)


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no URL of a service; expected http://host:port")
    if parsed.userinfo:
        raise ValueError("the URL holds a user or password; give the token as token= instead")
    if parsed.query or parsed.fragment:
        raise ValueError(f"the URL {url!r} holds more than an address; expected http://host:port")
    return str(parsed).rstrip("/")


_AGAIN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter, on top of what the service asks for.

    Everything that the SDK sends may be sent again: reading and predicting change nothing, and
    each change carries a key by which the service knows it.

    Attributes:
        retries: most further tries.
        first: longest wait before the first of them, in seconds; it doubles.
        longest: longest wait of all.
        longest_asked: most of a Retry-After that is waited.
        random: uniform numbers from 0 to 1.
    """

    retries: int = 2
    first: float = 0.5
    longest: float = 8.0
    longest_asked: float = 30.0
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries is {self.retries!r}; expected 0 or more")

    def delay(
        self, request: Request, tries: int, outcome: httpx.Response | RwsClientError
    ) -> float | None:
        """Seconds to wait before the next try; None if there is to be none.

        Args:
            request: what was sent.
            tries: how often it was sent again already.
            outcome: what came of it.
        """
        if request.once or tries >= self.retries or not _is_passing(outcome):
            return None
        jitter = self.random() * min(self.longest, self.first * 2.0**tries)
        asked = retry_after(outcome) if isinstance(outcome, httpx.Response) else None
        return jitter + min(self.longest_asked, asked or 0.0)


def _is_passing(outcome: httpx.Response | RwsClientError) -> bool:
    """Whether the next try may fare better."""
    if isinstance(outcome, httpx.Response):
        # A proxy's 504 may pass; a time that was set and is up does not come back.
        return outcome.status_code in _AGAIN and not isinstance(error_of(outcome), DeadlineError)
    return isinstance(outcome, ConnectError)


def options(address: Address) -> dict[str, Any]:
    """What every client of httpx is made with, for a service.

    Between this machine and itself no proxy may stand.
    """
    token = {} if address.token is None else {"Authorization": f"Bearer {address.token}"}
    host = httpx.URL(address.url).host
    try:
        on_loopback = ip_address(host).is_loopback
    except ValueError:
        on_loopback = host == "localhost"
    return {
        "base_url": address.url,
        "headers": {"User-Agent": f"rwsstore-client/{__version__}", **token},
        "trust_env": not on_loopback,
    }


def built(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    """A request as httpx sends it, anew for each try."""
    return http.build_request(
        request.method,
        request.path,
        params=request.query or None,
        headers=request.headers,
        content=request.body,
        data=request.texts,
        files=[("images", image) for image in request.images],
    )


def failure(error: httpx.HTTPError, url: str) -> RwsClientError:
    """What it means that httpx got no answer."""
    said = str(error) or type(error).__name__
    found: RwsClientError
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        found = RequestTimeoutError(f"{url} did not answer in time ({type(error).__name__})")
    elif isinstance(error, httpx.TransportError):
        found = ConnectError(f"cannot reach {url}: {said}; is the service running there?")
    else:
        found = ProtocolError(f"the answer of {url} cannot be read: {said}")
    found.__cause__ = error
    return found
