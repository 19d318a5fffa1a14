import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest

from rwsstore_client import (
    AsyncClient,
    Client,
    ConnectError,
    DeadlineError,
    OverloadedError,
    RateLimitedError,
    RequestTimeoutError,
    RwsClientError,
)
from rwsstore_client._async.model import AsyncModel
from rwsstore_client._async.transport import AsyncTransport
from rwsstore_client._sync.model import Model
from rwsstore_client._sync.transport import Transport
from rwsstore_client._transport import Backoff, resolve
from tests.clients.fake import TOKEN, FakeService

Outcome = httpx.Response | Exception


class Faulty:
    """Gives the outcomes first, then what the service answers; counts what came."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self.fake = FakeService()
        self.seen: list[httpx.Request] = []
        self.slept: list[float] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if not self.outcomes:
            return self.fake.handle(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(outcome.status_code, headers=outcome.headers)  # used up once read

    def model(self, retries: int = 2, random: Callable[[], float] = lambda: 1.0) -> Model:
        transport = Transport(
            resolve(None, TOKEN), timeout=1, backoff=Backoff(retries, random=random),
            transport=httpx.MockTransport(self.handle), sleep=self.slept.append,
        )  # fmt: skip
        return Model(transport, "bundled")

    def async_model(self) -> AsyncModel:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        transport = AsyncTransport(
            resolve(None, TOKEN), timeout=1, backoff=Backoff(2, random=lambda: 1.0),
            transport=httpx.MockTransport(self.handle), sleep=sleep,
        )  # fmt: skip
        return AsyncModel(transport, "bundled")


def busy(status: int = 503, after: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers={} if after is None else {"Retry-After": after})


PASSING: list[Outcome] = [
    busy(429), busy(502), busy(503), busy(504), httpx.ConnectError("x"), httpx.ConnectTimeout("x"),
    httpx.ReadError("x"), httpx.RemoteProtocolError("x"),
]  # fmt: skip


@pytest.mark.parametrize("outcome", PASSING, ids=repr)
def test_what_passes_is_tried_again(outcome: Outcome) -> None:
    faulty = Faulty([outcome, outcome])
    assert str(faulty.model().patchset.apply("fog")) == "fog=1.0"
    assert faulty.slept == [0.5, 1.0]
    assert len(faulty.seen) == 3


@pytest.mark.parametrize("outcome", PASSING, ids=repr)
def test_what_passes_is_tried_again_on_a_loop(outcome: Outcome) -> None:
    faulty = Faulty([outcome, outcome])
    assert str(asyncio.run(faulty.async_model().patchset.apply("fog"))) == "fog=1.0"
    assert faulty.slept == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 428, 500, 501, 507])
def test_what_stays_is_not(status: int) -> None:
    faulty = Faulty([busy(status, after="1")])
    with pytest.raises(RwsClientError):
        faulty.model().patchset.apply("fog")
    assert (len(faulty.seen), faulty.slept) == (1, [])


@pytest.mark.parametrize("fault", [httpx.ReadTimeout("x"), httpx.WriteTimeout("x")])
def test_a_slow_answer_is_not_asked_for_twice(fault: Exception) -> None:
    faulty = Faulty([fault])
    with pytest.raises(RequestTimeoutError):
        faulty.model().predict(b"x")
    assert len(faulty.seen) == 1


def test_a_time_that_is_up_is_not_asked_for_again() -> None:
    late = {"type": "urn:rwsstore:problem:deadline-exceeded", "detail": "not begun in time"}
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(504, json=late, headers={"Content-Type": "application/problem+json"})

    with (
        Client(transport=httpx.MockTransport(handle), retries=5) as rws,
        pytest.raises(DeadlineError, match="not begun in time"),
    ):
        rws.model("bundled").predict(b"x", timeout_ms=20)
    assert len(sent) == 1


def use_everything(model: Model) -> list[Callable[[], Any]]:
    patchset = model.patchset
    return [
        model.info, lambda: model.predict([b"x", b"y"]), patchset.get,
        lambda: patchset.apply("fog"), lambda: patchset.scale("fog"),
        lambda: patchset.remove("fog"), patchset.clear, lambda: patchset.rollback(0),
        lambda: patchset.replace({"fog": 1}, if_match="*"), patchset.history, patchset.verify,
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(11))
def test_every_try_is_the_same_request(number: int) -> None:
    faulty = Faulty([])
    faulty.model().patchset.apply("fog")
    faulty.seen.clear()
    faulty.outcomes = [busy(), busy(429)]
    use_everything(faulty.model())[number]()
    assert len(faulty.seen) == 3
    first = faulty.seen[0]
    for request in faulty.seen[1:]:
        assert (request.method, request.url, request.content) == (
            first.method, first.url, first.content,
        )  # fmt: skip
        assert request.headers == first.headers
    is_change = first.method != "GET" and not first.url.path.endswith("/predict")
    assert ("idempotency-key" in first.headers) == is_change


def test_it_ends() -> None:
    faulty = Faulty([busy()] * 9)
    with pytest.raises(OverloadedError):
        faulty.model(retries=4).predict(b"x")
    assert faulty.slept == [0.5, 1.0, 2.0, 4.0]
    faulty = Faulty([httpx.ConnectError("x")] * 9)
    with pytest.raises(ConnectError):
        faulty.model(retries=0).predict(b"x")
    assert (len(faulty.seen), faulty.slept) == (1, [])


def test_waits_are_bounded_and_spread() -> None:
    faulty = Faulty([busy()] * 9)
    faulty.model(retries=9).predict(b"x")
    assert max(faulty.slept) == faulty.slept[-1] == 8.0
    faulty = Faulty([busy()] * 2)
    faulty.model(random=iter([0.25, 0.0]).__next__).predict(b"x")
    assert faulty.slept == [0.125, 0.0]


def test_the_service_says_how_long() -> None:
    faulty = Faulty([busy(after="3"), busy(429, after="3600")])
    faulty.model(random=lambda: 0.0).predict(b"x")
    assert faulty.slept == [3.0, 30.0]
    faulty = Faulty([busy(429, after="soon"), busy(429, after="60")])
    with pytest.raises(RateLimitedError) as limited:
        faulty.model(retries=1).predict(b"x")
    assert (faulty.slept, limited.value.retry_after) == ([0.5], 60.0)


def test_health_is_asked_once() -> None:
    calls = []

    def count(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return busy(after="30")

    with Client(transport=httpx.MockTransport(count)) as rws:
        assert not rws.ready()
    assert len(calls) == 1


@pytest.mark.parametrize("retries", [-1, True, 1.5, None])
def test_a_number_of_retries_that_is_none(retries: Any) -> None:
    for client in (Client, AsyncClient):
        with pytest.raises(ValueError, match="retries"):
            client(retries=retries)
