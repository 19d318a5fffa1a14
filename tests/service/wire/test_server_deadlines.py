"""TRUST case 10: clients that stop, or go on too slowly, at every point of a request."""

import itertools
from collections.abc import Iterator

import pytest

from rwsstore_service.wire.server import Server
from tests.service.wire.peers import App, Peer, serving

HALF_HEADER = b"POST /echo HTTP/1.1\r\nHost: here\r\nX-Long: "
HEADERS = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
TRICKLE = tuple(itertools.repeat(b"a", 1000))

# Each server has one deadline that passes within a test; the others are out of its reach.
LONG = {"header_timeout": 3600, "body_timeout": 3600, "idle_timeout": 3600, "write_timeout": 3600}
SHORT = 0.4


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(App(), **{**LONG, "header_timeout": SHORT}) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.url) as peer:
        yield peer


@pytest.fixture(scope="module")
def uploads() -> App:
    return App()


@pytest.fixture(scope="module")
def receiver(uploads: App) -> Iterator[Server]:
    with serving(uploads, **{**LONG, "body_timeout": SHORT}) as server:
        yield server


@pytest.fixture
def sender(uploads: App, receiver: Server) -> Iterator[Peer]:
    while not uploads.events.empty():
        uploads.events.get()
    with Peer(receiver.url) as peer:
        yield peer


def test_a_silent_connection_is_closed(peer: Peer) -> None:
    assert peer.rest() == b""


def test_half_a_header_is_told_so(peer: Peer) -> None:
    peer.send(HALF_HEADER)
    answer = peer.answer()
    assert (answer.status, answer.problem) == (408, "request-timeout")
    assert answer.headers["connection"] == "close"
    assert b"headers" in answer.body
    assert b"0.4 s (RWS_HEADER_TIMEOUT)" in answer.body
    assert peer.rest() == b""


def test_a_byte_now_and_then_does_not_prolong_the_header(peer: Peer) -> None:
    peer.send(HALF_HEADER)
    assert peer.trickle(TRICKLE)
    assert peer.answer().status == 408
    assert peer.rest() == b""


def test_nor_does_it_where_the_first_byte_comes_late(peer: Peer) -> None:
    assert peer.trickle([b"", b"", b"", *(bytes([byte]) for byte in HALF_HEADER), *TRICKLE])
    assert peer.answer().status == 408


def test_the_second_request_has_a_header_deadline_of_its_own(peer: Peer) -> None:
    assert peer.get("/one").status == 200
    peer.send(HALF_HEADER)
    assert peer.trickle(TRICKLE)
    assert peer.answer().problem == "request-timeout"


@pytest.mark.parametrize("start", [HEADERS, CHUNKED + b"fff\r\n"], ids=["length", "chunked"])
def test_half_a_body_is_told_so_and_its_handler_too(
    uploads: App, sender: Peer, start: bytes
) -> None:
    sender.send(start + b"half")
    answer = sender.answer()
    assert (answer.status, answer.problem) == (408, "request-timeout")
    assert b'"instance":"/echo"' in answer.body
    assert b"0.4 s (RWS_BODY_TIMEOUT)" in answer.body
    assert sender.rest() == b""
    assert [uploads.next_event(), uploads.next_event()] == ["/echo", "disconnect"]


@pytest.mark.parametrize("start", [HEADERS, CHUNKED + b"fff\r\n"], ids=["length", "chunked"])
def test_a_byte_now_and_then_does_not_prolong_the_body(sender: Peer, start: bytes) -> None:
    sender.send(start)
    assert sender.trickle(TRICKLE)
    assert sender.answer().status == 408
    assert sender.rest() == b""


def test_nor_does_a_chunk_now_and_then(sender: Peer) -> None:
    sender.send(CHUNKED)
    assert sender.trickle([b"1\r\na\r\n"] * 1000)
    assert sender.answer().status == 408


def test_a_body_that_nobody_reads_has_its_deadline_too(sender: Peer) -> None:
    sender.send(HEADERS.replace(b"/echo", b"/early"))
    assert sender.answer().status == 200
    assert sender.trickle(TRICKLE)
    assert sender.rest() == b""


def test_an_expected_body_that_does_not_come(sender: Peer) -> None:
    sender.send(HEADERS.replace(b"Content", b"Expect: 100-continue\r\nContent"))
    assert sender.answer().status == 100
    assert sender.answer().status == 408


def test_each_body_has_a_deadline_of_its_own(sender: Peer) -> None:
    complete = HEADERS.replace(b"/echo", b"/early") + b"x" * 99_999
    sender.send(complete)
    assert sender.answer().status == 200
    sender.send(b"x" + HEADERS)
    answer = sender.answer()
    assert answer.status == 408
    assert b'"instance":"/echo"' in answer.body


def test_a_slow_handler_has_no_deadline(uploads: App, receiver: Server, sender: Peer) -> None:
    uploads.release.clear()
    sender.send(b"POST /wait HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nbody")
    with Peer(receiver.url) as other:
        other.send(HEADERS)
        assert other.answer().status == 408  # the deadline has passed by now
    uploads.release.set()
    assert sender.answer().body == b"released"
    assert sender.get("/more").body == b"/more"


def test_a_kept_alive_connection_is_closed_when_idle() -> None:
    with serving(App(), **{**LONG, "idle_timeout": SHORT}) as server, Peer(server.url) as peer:
        peer.send(b"GET /one HTTP/1.1\r\nHost: here\r\n\r\nGET /two HTTP/1.1\r\nHost: here\r\n\r\n")
        assert [peer.answer().body, peer.answer().body] == [b"/one", b"/two"]
        assert peer.rest() == b""


def test_a_reader_that_stops_ends_the_stream() -> None:
    app = App()
    impatient = {**LONG, "write_timeout": SHORT}
    with serving(app, **impatient) as server, Peer(server.url, receive_buffer=4096) as peer:
        peer.send(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
        assert [app.next_event(), app.next_event()] == ["/stream", "disconnect"]


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"])
def test_a_reader_that_stops_does_not_hold_a_finished_answer(headers: str) -> None:
    app = App()
    with serving(app, **{**LONG, "write_timeout": SHORT, "shutdown_timeout": 3600}) as server:
        peer = Peer(server.url, receive_buffer=4096)
        peer.send(f"GET /big HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
        assert app.next_event() == "/big"
        # The end of the block waits for the connection to go.
    with peer:
        assert peer.closes_at_last()


def test_many_idle_connections_leave_room_for_others() -> None:
    with serving(App(), **{**LONG, "header_timeout": 1.5}) as server:
        idle = [connected(server, HALF_HEADER if number % 2 else b"") for number in range(300)]
        with Peer(server.url) as busy:
            assert all(busy.get("/ask").status == 200 for _ in range(50))
        for number, peer in enumerate(idle):
            with peer:
                assert peer.rest().startswith(b"HTTP/1.1 408 " if number % 2 else b"")


def test_connections_over_the_limit_are_turned_away() -> None:
    with serving(App(), max_connections=3) as server:
        held = [Peer(server.url) for _ in range(3)]
        assert all(peer.get("/held").status == 200 for peer in held)
        with Peer(server.url) as surplus:
            answer = surplus.answer()
            assert (answer.status, answer.problem) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert surplus.rest() == b""
        assert all(peer.get("/still").status == 200 for peer in held)
        for peer in held:
            peer.__exit__()
        assert any(admitted(server) for _ in range(1000))


def connected(server: Server, start: bytes) -> Peer:
    peer = Peer(server.url)
    peer.send(start)
    return peer


def admitted(server: Server) -> bool:
    with Peer(server.url) as peer:
        try:
            return peer.get("/").status == 200
        except ConnectionError:
            return False
