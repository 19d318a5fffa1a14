"""Sending requests, with retries: the blocking half and the asynchronous one."""

__all__ = ["AsyncTransport", "Transport"]

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from rwsstore_client._config import Address
from rwsstore_client._errors import (
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    RwsClientError,
)
from rwsstore_client._plans import Finished, Plan, advance
from rwsstore_client._requests import Request
from rwsstore_client._responses import Reply
from rwsstore_client._retries import Backoff
from rwsstore_client._version import __version__

T = TypeVar("T")

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
