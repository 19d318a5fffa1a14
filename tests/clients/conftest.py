import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from rwsstore_client import AsyncClient, Client
from tests.clients.fake import TOKEN, FakeService

T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RWS_URL", "RWS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


@pytest.fixture
def rws(fake: FakeService) -> Iterator[Client]:
    with Client(token=TOKEN, retries=0, transport=fake.transport) as client:
        yield client


@pytest.fixture
def on_a_loop(fake: FakeService) -> Callable[[Callable[[AsyncClient], Awaitable[T]]], T]:
    """Runs something with an asynchronous client."""

    async def run(use: Callable[[AsyncClient], Awaitable[T]]) -> T:
        async with AsyncClient(token=TOKEN, retries=0, transport=fake.transport) as client:
            return await use(client)

    return lambda use: asyncio.run(run(use))
