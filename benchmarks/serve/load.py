"""The load on a service: connections in a closed loop, in a light process of its own.

    python load.py < PLAN

The cores belong to the service that is measured, so this is the standard library alone: requests
are bytes made beforehand, and of an answer nothing is read but its status and its length. The
plan's fields come pickled, and those of the load go out as JSON.
"""

import asyncio
import itertools
import json
import math
import pickle
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

_LAST_ANSWER = 30.0  # seconds that the answers under way get once the window is over
_RETRIES = 5  # connections lost one after the other before a client gives up


@dataclass(frozen=True)
class Plan:
    """What is asked on a port of 127.0.0.1, by how many, for how long."""

    port: int
    clients: tuple[tuple[bytes, ...], ...]  # requests that each sends in turn, again and again
    warm_up: float  # seconds that are not counted, at least: every client has an answer by then
    seconds: float  # that are
    paced: tuple[bytes, ...] = ()  # of one more connection, on a schedule of their own
    rate: float = 0.0  # of these a second, from the beginning of the warm-up on


@dataclass(frozen=True)
class Load:
    """What was answered within the window; latencies are in milliseconds, NaN where none is."""

    answers: int  # with status 200
    seconds: float
    p50: float
    p90: float
    p99: float
    errors: Mapping[str, int]  # other statuses, lost or late answers, warm-up included
    paced_due: int  # requests with a schedule that has them within the window
    paced_answered: int
    paced_p50: float  # 0 where none was answered

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def percentile(values: Sequence[float], share: float) -> float:
    """Find the smallest value that at least this share of all do not exceed (nearest rank).

    Args:
        values: in any order; of none it is NaN.
        share: 0 to 1.
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def answer_in(received: bytes | bytearray) -> tuple[int, int] | None:
    """Read the status and the whole length of an answer; None while it is not complete.

    Raises:
        ValueError: it is not HTTP/1.1 with a Content-Length.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    line, *headers = bytes(received[:end]).lower().split(b"\r\n")
    lengths = [header[15:] for header in headers if header.startswith(b"content-length:")]
    if not line.startswith(b"http/1.1 ") or len(lengths) != 1:
        raise ValueError(f"expected HTTP/1.1 with a Content-Length; found {line[:60]!r}")
    length = end + 4 + int(lengths[0])
    return (int(line[9:12]), length) if len(received) >= length else None


class Connection(asyncio.Protocol):
    """One connection that is kept, with one request under way at most."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """Send a request; the future gets the status once the whole answer is there.

        Raises:
            ConnectionError: the connection is closed.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            found = answer_in(self._received)
        except ValueError as error:
            self._fail(error)
            self.close()
            return
        if found is None:
            return
        status, length = found
        del self._received[:length]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionError(f"the connection was lost: {error}"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


@dataclass
class _Counts:
    """What is noted while the load runs; the window is open-ended until it begins."""

    begin: float = math.inf
    end: float = math.inf
    latencies: list[float] = field(default_factory=list)
    paced: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, started: float, status: int, latencies: list[float]) -> None:
        now = time.perf_counter()
        if status != 200:
            self.errors[str(status)] += 1
        elif self.begin <= now < self.end:
            latencies.append(1000 * (now - started))


async def run(plan: Plan) -> Load:
    """Put the load on, and say what was answered.

    Raises:
        OSError: nothing listens on the port.
    """
    counts = _Counts()
    connections = [await _connect(plan.port) for _ in plan.clients]
    pacing = [await _connect(plan.port)] if plan.paced else []
    events = [asyncio.Event() for _ in plan.clients]
    start = time.perf_counter()
    tasks = [
        asyncio.create_task(_ask_in_turn(plan, connection, requests, counts, event))
        for connection, requests, event in zip(connections, plan.clients, events, strict=True)
    ]
    tasks += [asyncio.create_task(_pace(plan, one, start, counts)) for one in pacing]
    answered = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.sleep(plan.warm_up)
    await asyncio.wait(answered, timeout=_LAST_ANSWER)
    counts.begin = time.perf_counter()
    counts.end = counts.begin + plan.seconds
    done, late = await asyncio.wait(tasks, timeout=plan.seconds + _LAST_ANSWER)
    for task in [*late, *answered]:
        task.cancel()
    counts.errors.update({"no answer": len(late)} if late else {})
    for task in done:
        task.result()
    return _summary(plan, counts, start)


def _summary(plan: Plan, counts: _Counts, start: float) -> Load:
    times = counts.latencies
    begin, end = (
        min(len(plan.paced), math.ceil(plan.rate * (moment - start)))
        for moment in (counts.begin, counts.end)
    )
    return Load(
        answers=len(times),
        seconds=plan.seconds,
        p50=percentile(times, 0.5),
        p90=percentile(times, 0.9),
        p99=percentile(times, 0.99),
        errors=dict(counts.errors),
        paced_due=end - begin,
        paced_answered=len(counts.paced),
        paced_p50=percentile(counts.paced, 0.5) if counts.paced else 0.0,
    )


async def _connect(port: int) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


async def _ask_in_turn(
    plan: Plan,
    connection: Connection,
    requests: Sequence[bytes],
    counts: _Counts,
    answered: asyncio.Event,
) -> None:
    """Ask, wait for the answer, ask again, until the window is over."""
    turns, lost = itertools.cycle(requests), 0
    while time.perf_counter() < counts.end and lost < _RETRIES:
        started = time.perf_counter()
        try:
            counts.note(started, await connection.ask(next(turns)), counts.latencies)
        except (OSError, ValueError) as error:
            lost += 1
            counts.errors[f"lost: {error}"] += 1
            connection = await _connect(plan.port)
        else:
            lost = 0
            answered.set()
    answered.set()  # or gave up
    connection.close()


async def _pace(plan: Plan, connection: Connection, start: float, counts: _Counts) -> None:
    """Send each request when it is due, or as soon as the one before it is answered."""
    for number, request in enumerate(plan.paced):
        await asyncio.sleep(max(0.0, start + number / plan.rate - time.perf_counter()))
        sent = time.perf_counter()
        if sent >= counts.end:
            break
        counts.note(sent, await connection.ask(request), counts.paced)
    connection.close()


if __name__ == "__main__":
    found = asyncio.run(run(Plan(**pickle.load(sys.stdin.buffer))))
    print(json.dumps(asdict(found)))
