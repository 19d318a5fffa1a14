"""When GuardedProtocol gives up on a client, by a clock that the tests turn."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from rwsstore_service.settings import Settings
from rwsstore_service.wire.protocol import protocol_of
from tests.service.wire.clock import Clock, Socket
from tests.service.wire.peers import respond

HEADERS = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n"
HALF_HEADER = b"POST /read HTTP/1.1\r\nHost: "
EARLY = HEADERS.replace(b"/read", b"/early")

SETTINGS = {"header_timeout": 10.0, "body_timeout": 30.0, "idle_timeout": 5.0}


class Case:
    """One connection with all around it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.socket = Socket()
        self.state = ServerState()
        self.messages: list[Message] = []
        config = Config(
            self._app, interface="asgi3", log_config=None, ws="none", proxy_headers=False
        )
        protocol = protocol_of(Settings.of(**SETTINGS))
        self.protocol = protocol(config, self.state, {}, self.clock)
        self.protocol.connection_made(self.socket)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = scope["path"] == "/read"
        while more:
            self.messages.append(await receive())
            more = self.messages[-1].get("more_body", False)
        await respond(send, b"answer")

    def get(self, data: bytes) -> None:
        self.protocol.data_received(data)
        self.clock.settle()

    @property
    def statuses(self) -> list[int]:
        """Of the answers since the last time; they are taken now."""
        parts = self.socket.written.split(b"HTTP/1.1 ")[1:]
        self.socket.written = b""
        self.socket.waiting = 0
        return [int(part[:3]) for part in parts]

    def ended(self) -> bool:
        return self.protocol.transport.is_closing()


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.socket.abort()
    case.protocol.connection_lost(None)
    case.clock.settle()
    assert not case.clock.timers
    assert not case.state.tasks
    case.clock.close()


def test_a_silent_connection_has_the_header_timeout(case: Case) -> None:
    case.clock.advance(9.9)
    assert not case.ended()
    case.clock.advance(0.2)
    assert case.ended()
    assert case.statuses == []


def test_bytes_do_not_move_the_header_deadline(case: Case) -> None:
    for byte in HALF_HEADER[:9]:
        case.clock.advance(1)
        case.get(bytes([byte]))
    case.clock.advance(0.9)
    assert not case.ended()
    case.clock.advance(0.2)
    assert case.statuses == [408]


def test_bytes_do_not_move_the_body_deadline(case: Case) -> None:
    case.clock.advance(9)
    case.get(HEADERS)
    for _ in range(9):
        case.clock.advance(3)
        case.get(b"x")
    case.clock.advance(2.9)
    assert not case.ended()
    case.clock.advance(0.2)
    assert case.statuses == [408]


def test_each_request_has_its_own_deadlines(case: Case) -> None:
    for _ in range(3):
        case.get(HALF_HEADER)
        case.clock.advance(9)
        case.get(HEADERS[len(HALF_HEADER) :])
        case.clock.advance(29)
        case.get(b"x" * 10)
        assert case.statuses == [200]
        case.clock.advance(4)
    case.clock.advance(1.1)
    assert case.ended()
    assert case.statuses == []


def test_a_body_that_follows_an_unread_one_has_its_own(case: Case) -> None:
    case.get(EARLY)
    assert case.statuses == [200]
    case.clock.advance(29)
    case.get(b"x" * 10 + HEADERS)
    case.clock.advance(29)
    assert not case.ended()
    case.clock.advance(2)
    assert case.statuses == [408]


def test_the_rest_of_an_unread_body_is_not_waited_for(case: Case) -> None:
    case.get(EARLY)
    case.clock.advance(29)
    case.get(b"x")
    case.clock.advance(2)
    assert case.ended()
    assert case.statuses == [200]


def test_a_complete_request_has_no_deadline(case: Case) -> None:
    started = asyncio.Event()

    async def computing(scope: Scope, receive: Receive, send: Send) -> None:
        while not started.is_set():
            await asyncio.sleep(0)
        await respond(send, b"at last")

    case.protocol.app = computing
    case.get(HEADERS + b"x" * 10)
    case.clock.advance(100)
    assert not case.ended()
    started.set()
    case.clock.settle()
    assert case.statuses == [200]
    case.clock.advance(5.1)
    assert case.ended()


def test_a_pipelined_half_header_starts_when_it_is_its_turn(case: Case) -> None:
    case.get(HEADERS + b"x" * 10 + HALF_HEADER)
    assert case.statuses == [200]
    case.clock.advance(9.9)
    assert not case.ended()
    case.clock.advance(0.2)
    assert case.statuses == [408]


def test_the_handler_is_told_at_once(case: Case) -> None:
    case.get(HEADERS + b"half")
    case.clock.advance(30)
    case.clock.settle()
    assert case.statuses == [408]
    assert [message["type"] for message in case.messages] == ["http.request", "http.disconnect"]


def test_a_connection_that_is_lost_has_no_deadline(case: Case) -> None:
    case.get(HEADERS)
    case.socket.close()
    case.protocol.connection_lost(None)
    case.clock.settle()
    assert not case.clock.timers


@pytest.mark.parametrize("start", [b"", HALF_HEADER, HEADERS], ids=["silent", "header", "body"])
def test_stopping_ends_what_is_not_a_request_yet(case: Case, start: bytes) -> None:
    if start:
        case.get(start)
    case.protocol.shutdown()
    assert case.ended() == (start is not HEADERS)
    if not case.ended():
        case.get(b"x" * 10)
        assert case.statuses == [200]
        assert case.ended()
