"""A service."""

from dataclasses import replace
from types import TracebackType
from typing import Self

import httpx

from rwsstore_client._async.model import AsyncModel
from rwsstore_client._async.patches import AsyncPatches
from rwsstore_client._async.transport import AsyncTransport
from rwsstore_client._errors import ConnectError, RequestTimeoutError
from rwsstore_client._messages import accept, get, path
from rwsstore_client._transport import DEFAULT_TIMEOUT, Backoff, resolve
from rwsstore_client.contract import AuditLog, ModelInfo, ModelPage


class AsyncClient:
    """A rwsstore service; one client is enough, and may be shared.

    Use it with `async with`, or close it: it keeps connections open.

    Args:
        url: of the service. Default: $RWS_URL, else http://127.0.0.1:8000.
        token: what opens it. Default: $RWS_TOKEN, else none; "" is none.
        timeout: seconds for each step of a request, or one of httpx.
        retries: most further tries where the service was not reached or was busy.
        transport: of httpx, for certificates of one's own, sockets or tests.

    Raises:
        ValueError: the URL, the token or the number of retries cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = AsyncTransport(
            resolve(url, token), timeout=timeout, backoff=Backoff(retries), transport=transport
        )
        self.patches = AsyncPatches(self._transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.url

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def model(self, name: str = "bundled") -> AsyncModel:
        """One of its models; nothing is asked yet."""
        return AsyncModel(self._transport, name)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Describe all its models."""
        return (await self._transport.ask(get(path("v1", "models")), ModelPage)).models

    async def audit(self, *, limit: int = 50, before: int | None = None) -> AuditLog:
        """Read the audit log: every change to patch sets and store, the newest first.

        Args:
            limit: most records, 1 to 1000.
            before: only those with a lower number.
        """
        request = get(path("v1", "audit"), {"limit": limit, "before": before})
        return await self._transport.ask(request, AuditLog)

    async def ready(self) -> bool:
        """Whether it predicts; asked once, without retries.

        Raises:
            ApiError, ProtocolError: something else than a rwsstore service answered.
        """
        return await self._answers("readyz")

    async def live(self) -> bool:
        """Whether it runs; asked once, without retries.

        Raises:
            ApiError, ProtocolError: something else than a rwsstore service answered.
        """
        return await self._answers("livez")

    async def _answers(self, where: str) -> bool:
        try:
            reply = await self._transport.send(replace(get(path(where)), once=True))
        except (ConnectError, RequestTimeoutError):
            return False
        if reply.status_code != 503:
            accept(reply)
        return reply.status_code != 503
