# Generated from _async/transport.py by scripts/blocking_half.py
"""Sending requests, as often as they must be sent."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from pydantic import BaseModel

from rwsstore_client._errors import RwsClientError
from rwsstore_client._messages import Request, accept, read
from rwsstore_client._transport import Address, Backoff, built, failure, options

_R = TypeVar("_R", bound=BaseModel)


class Transport:
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
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = address.url
        self._backoff, self._sleep = backoff, sleep
        self._http = httpx.Client(timeout=timeout, transport=transport, **options(address))

    def send(self, request: Request) -> httpx.Response:
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
            outcome = self._try(request)
            delay = self._backoff.delay(request, tries, outcome)
            if delay is None:
                break
            self._sleep(delay)
            tries += 1
        if isinstance(outcome, RwsClientError):
            raise outcome
        return outcome

    def ask(self, request: Request, kind: type[_R]) -> _R:
        """Send a request and read the result.

        Raises:
            RwsClientError: as `send` and `read` do.
        """
        return read(self.send(request), kind)

    def fetch(self, request: Request) -> httpx.Response:
        """Send a request whose answer is no result, and must be success.

        Raises:
            RwsClientError: as `send` and `accept` do.
        """
        reply = self.send(request)
        accept(reply)
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _try(self, request: Request) -> httpx.Response | RwsClientError:
        try:
            return self._http.send(built(self._http, request))
        except httpx.HTTPError as error:
            return failure(error, self.url)
