"""Sending requests, as often as they must be sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
from pydantic import BaseModel

from rwsstore_client._errors import RwsClientError
from rwsstore_client._messages import Request, accept, read
from rwsstore_client._transport import Address, Backoff, built, failure, options

_R = TypeVar("_R", bound=BaseModel)


class AsyncTransport:
    """Sends requests to one service; whoever has it may share it.

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
        transport: httpx.AsyncBaseTransport | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = address.url
        self._backoff, self._sleep = backoff, sleep
        self._http = httpx.AsyncClient(timeout=timeout, transport=transport, **options(address))

    async def send(self, request: Request) -> httpx.Response:
        """Send a request until it is answered, or is not worth another try.

        Raises:
            ConnectError, RequestTimeoutError, ProtocolError: it is not answered.
            RwsClientError: the client is closed.
        """
        if self._http.is_closed:
            raise RwsClientError(
                f"the client of {self.url} is closed, and nothing was sent: make a new one, or ask "
                "within its with block"
            )
        tries = 0
        while True:
            outcome = await self._try(request)
            delay = self._backoff.delay(request, tries, outcome)
            if delay is None:
                break
            await self._sleep(delay)
            tries += 1
        if isinstance(outcome, RwsClientError):
            raise outcome
        return outcome

    async def ask(self, request: Request, kind: type[_R]) -> _R:
        """Send a request and read the result.

        Raises:
            RwsClientError: as `send` and `read` do.
        """
        return read(await self.send(request), kind)

    async def fetch(self, request: Request) -> httpx.Response:
        """Send a request whose answer is no result, and must be success.

        Raises:
            RwsClientError: as `send` and `accept` do.
        """
        reply = await self.send(request)
        accept(reply)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _try(self, request: Request) -> httpx.Response | RwsClientError:
        try:
            return await self._http.send(built(self._http, request))
        except httpx.HTTPError as error:
            return failure(error, self.url)
