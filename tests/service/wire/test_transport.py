"""When ClientTransport closes and gives up, by a clock that the tests turn."""

from collections.abc import Iterator

import pytest

from rwsstore_service.wire.protocol import LINGER_SECONDS, ClientTransport
from tests.service.wire.clock import Clock, Socket

TIMEOUT = 8.0


class Case:
    """A client's transport with all around it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.socket = Socket()
        self.sending = False
        self.transport = ClientTransport(
            self.socket,
            loop=self.clock,
            write_timeout=TIMEOUT,
            still_sending=lambda: self.sending,
        )


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.clock.close()


def test_what_is_taken_at_once_needs_no_watch(case: Case) -> None:
    case.transport.write(b"")
    assert not case.clock.timers


def test_a_reader_that_stops_is_cut_off_within_the_stated_time(case: Case) -> None:
    case.transport.write(b"x" * 100)
    case.clock.advance(TIMEOUT - 0.1)
    assert case.socket.calls == []
    case.clock.advance(0.1 + TIMEOUT / 4)
    assert case.socket.calls == ["abort"]
    assert case.transport.is_closing()
    assert not case.clock.timers


def test_a_byte_taken_gives_it_time_again(case: Case) -> None:
    case.transport.write(b"x" * 100)
    for _ in range(50):
        case.clock.advance(TIMEOUT - 0.1)
        case.socket.waiting -= 1
        case.clock.advance(0.1)
    assert case.socket.calls == []
    case.clock.advance(TIMEOUT * 1.5)
    assert case.socket.calls == ["abort"]


def test_more_to_take_is_nothing_taken(case: Case) -> None:
    case.transport.write(b"x" * 100)
    for _ in range(5):
        case.clock.advance(TIMEOUT / 4)
        case.transport.write(b"x")
    assert case.socket.calls == ["abort"]


def test_an_idle_time_between_answers_does_not_count(case: Case) -> None:
    case.transport.write(b"x" * 100)
    case.clock.settle()
    case.socket.waiting = 0
    case.clock.advance(10 * TIMEOUT)
    case.transport.write(b"x" * 100)
    case.clock.advance(TIMEOUT - 0.1)
    assert case.socket.calls == []


def test_what_is_written_in_one_turn_is_sent_at_once(case: Case) -> None:
    for part in (b"head", b"body", b""):
        case.transport.write(part)
    assert case.socket.sent == []
    case.clock.settle()
    assert case.socket.sent == [b"headbody"]
    case.transport.write(b"more")
    case.transport.close()
    assert case.socket.sent == [b"headbody", b"more"]


def test_much_is_not_kept_back(case: Case) -> None:
    case.transport.write(b"x" * 1000)
    case.transport.write(b"y" * 100_000)
    assert [len(data) for data in case.socket.sent] == [101_000]


def test_what_is_aborted_is_not_sent(case: Case) -> None:
    case.transport.write(b"x")
    case.transport.abort()
    case.clock.settle()
    assert case.socket.sent == []


def test_closing_does_not_end_the_watch(case: Case) -> None:
    case.transport.write(b"x" * 100)
    case.transport.close()
    assert case.socket.calls == ["close"]
    case.clock.advance(TIMEOUT * 1.5)
    assert case.socket.calls == ["close", "abort"]


def test_a_client_in_the_middle_of_something_is_read_to_its_end(case: Case) -> None:
    case.sending = True
    case.transport.close()
    case.transport.close()
    assert case.transport.is_closing()
    assert case.socket.calls == ["write_eof", "resume_reading"]
    case.clock.advance(LINGER_SECONDS)
    assert case.socket.calls[2:] == ["close"]


def test_one_that_has_reset_the_connection_is_not(case: Case) -> None:
    case.sending = case.socket.reset = True
    case.transport.close()
    assert case.socket.calls == ["abort"]


def test_after_closing_nothing_is_written(case: Case) -> None:
    case.transport.close()
    case.transport.write(b"late")
    assert case.socket.waiting == 0


def test_a_lost_connection_leaves_no_timer(case: Case) -> None:
    case.sending = True
    case.transport.write(b"x" * 100)
    case.transport.close()
    assert case.clock.timers == 2
    case.transport.lost()
    assert not case.clock.timers
    case.transport.close()
    assert "close" not in case.socket.calls
