"""Where the service is, and sending requests to it: the blocking half and the asynchronous one.

An operation is a plan: a generator that yields requests and is sent the replies. It does no I/O
on the network itself, so that the blocking and the asynchronous client share every one of them. An
error of the transport is raised inside the plan, where it waits.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Generic, TypeVar

import httpx

from rwsstore_client._errors import (
    ConnectError,
    DeadlineError,
    ProtocolError,
    RequestTimeoutError,
    RwsClientError,
)
from rwsstore_client._messages import Reply, Request, error_of, retry_after
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

    @property
    def on_loopback(self) -> bool:
        """Whether it runs on this machine, so that no proxy may stand between."""
        host = httpx.URL(self.url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


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


T = TypeVar("T")

Plan = Generator[Request, Reply, T]


@dataclass(frozen=True)
class Finished(Generic[T]):
    """What a plan returned."""

    value: T


def advance(plan: Plan[T], outcome: Reply | RwsClientError | None = None) -> Request | Finished[T]:
    """Run a plan to its next request, or to its end.

    Args:
        plan: to go on with.
        outcome: of its last request; None to begin.
    """
    try:
        if outcome is None:
            return next(plan)
        if isinstance(outcome, RwsClientError):
            return plan.throw(outcome)
        return plan.send(outcome)
    except StopIteration as end:
        return Finished(end.value)


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

    def delay(self, request: Request, tries: int, outcome: Reply | RwsClientError) -> float | None:
        """Seconds to wait before the next try; None if there is to be none.

        Args:
            request: what was sent.
            tries: how often it was sent again already.
            outcome: what came of it.
        """
        if request.once or tries >= self.retries or not _is_passing(outcome):
            return None
        jitter = self.random() * min(self.longest, self.first * 2.0**tries)
        asked = retry_after(outcome) if isinstance(outcome, Reply) else None
        return jitter + min(self.longest_asked, asked or 0.0)


def _is_passing(outcome: Reply | RwsClientError) -> bool:
    """Whether the next try may fare better."""
    if isinstance(outcome, Reply):
        # A proxy's 504 may pass; a time that was set and is up does not come back.
        return outcome.status in _AGAIN and not isinstance(error_of(outcome), DeadlineError)
    return isinstance(outcome, ConnectError)


_AGENT = f"rwsstore-client/{__version__}"


class Transport:
    """Runs plans, blocking. Threads may share it.

    Args:
        address: the service.
        timeout: of each step of a request.
        backoff: when to try again.
        transport: what sends, instead of the network.
        sleep: what waits.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float | httpx.Timeout,
        backoff: Backoff,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = address.url
        self._backoff, self._sleep = backoff, sleep
        self._http = httpx.Client(
            base_url=address.url,
            headers={"User-Agent": _AGENT, **address.headers},
            timeout=timeout,
            transport=transport,
            trust_env=not address.on_loopback,
        )

    def run(self, plan: Plan[T]) -> T:
        """Run a plan to its end."""
        step = advance(plan)
        while not isinstance(step, Finished):
            step = advance(plan, self._exchange(step))
        return step.value

    def _exchange(self, request: Request) -> Reply | RwsClientError:
        tries = 0
        while True:
            outcome = self._send(request)
            delay = self._backoff.delay(request, tries, outcome)
            if delay is None:
                return outcome
            self._sleep(delay)
            tries += 1

    def _send(self, request: Request) -> Reply | RwsClientError:
        try:
            return _reply(self._http.send(_built(self._http, request)))
        except httpx.HTTPError as error:
            return _failure(error, self.url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """Runs plans on an event loop of asyncio; otherwise as `Transport`."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float | httpx.Timeout,
        backoff: Backoff,
        transport: httpx.AsyncBaseTransport | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = address.url
        self._backoff, self._sleep = backoff, sleep
        self._http = httpx.AsyncClient(
            base_url=address.url,
            headers={"User-Agent": _AGENT, **address.headers},
            timeout=timeout,
            transport=transport,
            trust_env=not address.on_loopback,
        )

    async def run(self, plan: Plan[T]) -> T:
        """Run a plan to its end."""
        step = advance(plan)
        while not isinstance(step, Finished):
            step = advance(plan, await self._exchange(step))
        return step.value

    async def run_in_threads(self, plan: Plan[T]) -> T:
        """Run a plan that reads files or encodes images, and must not hold up the loop."""
        step = await asyncio.to_thread(advance, plan)
        while not isinstance(step, Finished):
            step = await asyncio.to_thread(advance, plan, await self._exchange(step))
        return step.value

    async def _exchange(self, request: Request) -> Reply | RwsClientError:
        tries = 0
        while True:
            outcome = await self._send(request)
            delay = self._backoff.delay(request, tries, outcome)
            if delay is None:
                return outcome
            await self._sleep(delay)
            tries += 1

    async def _send(self, request: Request) -> Reply | RwsClientError:
        try:
            return _reply(await self._http.send(_built(self._http, request)))
        except httpx.HTTPError as error:
            return _failure(error, self.url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _built(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return http.build_request(
        request.method,
        request.path,
        params=request.query or None,
        headers=request.headers,
        content=request.body,
        data=request.texts,
        files=[("images", image) for image in request.images],
    )


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers, response.content)


def _failure(error: httpx.HTTPError, url: str) -> RwsClientError:
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
