"""TRUST case 10: clients that stop, or go on too slowly, at every point of a request."""

import itertools
from collections.abc import Iterator

import pytest

from rwsstore_service.server import Server
from tests.service.serving import App, Peer, serving

HALF_HEADER = b"POST /echo HTTP/1.1\r\nHost: here\r\nX-Long: "
HEADERS = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
TRICKLE = tuple(itertools.repeat(b"a", 1000))

SHORT = {"header_timeout": 0.2, "body_timeout": 0.2, "idle_timeout": 0.2, "write_timeout": 0.2}


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def server(app: App) -> Iterator[Server]:
    with serving(app, **SHORT) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.url) as peer:
        yield peer


def test_a_silent_connection_is_closed(peer: Peer) -> None:
    assert peer.rest() == b""


def test_half_a_header_is_told_so(peer: Peer) -> None:
    peer.send(HALF_HEADER)
    answer = peer.answer()
    assert (answer.status, answer.problem) == (408, "request-timeout")
    assert answer.headers["connection"] == "close"
    assert b"headers" in answer.body
    assert b"0.2 s (RWS_HEADER_TIMEOUT)" in answer.body
    assert peer.rest() == b""


def test_a_byte_now_and_then_does_not_prolong_the_header(peer: Peer) -> None:
    peer.send(HALF_HEADER)
    assert peer.trickle(TRICKLE)
    assert peer.answer().status == 408
    assert peer.rest() == b""


def test_nor_does_it_where_the_first_byte_comes_late(peer: Peer) -> None:
    assert peer.trickle([b"", b"", b"", *(bytes([byte]) for byte in HALF_HEADER), *TRICKLE])
    assert peer.answer().status == 408


@pytest.mark.parametrize("start", [HEADERS, CHUNKED + b"fff\r\n"], ids=["length", "chunked"])
def test_half_a_body_is_told_so_and_its_handler_too(app: App, peer: Peer, start: bytes) -> None:
    while not app.events.empty():
        app.events.get()
    peer.send(start + b"half")
    answer = peer.answer()
    assert (answer.status, answer.problem) == (408, "request-timeout")
    assert b'"instance":"/echo"' in answer.body
    assert b"0.2 s (RWS_BODY_TIMEOUT)" in answer.body
    assert peer.rest() == b""
    assert [app.next_event(), app.next_event()] == ["/echo", "disconnect"]


def test_a_byte_now_and_then_does_not_prolong_the_body(peer: Peer) -> None:
    peer.send(HEADERS)
    assert peer.trickle(TRICKLE)
    assert peer.answer().status == 408
    assert peer.rest() == b""


def test_nor_one_byte_chunks(peer: Peer) -> None:
    peer.send(CHUNKED)
    assert peer.trickle([b"1\r\na\r\n"] * 1000)
    assert peer.answer().status == 408


def test_a_body_that_nobody_reads_has_its_deadline_too(peer: Peer) -> None:
    peer.send(HEADERS.replace(b"/echo", b"/early"))
    assert peer.answer().status == 200
    assert peer.trickle(TRICKLE)
    assert peer.rest() == b""


def test_an_expected_body_that_does_not_come(peer: Peer) -> None:
    peer.send(HEADERS.replace(b"Content", b"Expect: 100-continue\r\nContent"))
    assert peer.answer().status == 100
    assert peer.answer().status == 408


def test_a_kept_alive_connection_is_closed_when_idle(peer: Peer) -> None:
    assert peer.get("/one").body == b"/one"
    assert peer.get("/two").body == b"/two"
    assert peer.rest() == b""


def test_the_second_request_has_a_header_deadline_of_its_own(peer: Peer) -> None:
    assert peer.get("/one").status == 200
    peer.send(HALF_HEADER)
    assert peer.trickle(TRICKLE)
    assert peer.answer().problem == "request-timeout"


def test_a_slow_handler_has_no_deadline(app: App, server: Server, peer: Peer) -> None:
    app.release.clear()
    peer.send(b"GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
    for start in (b"", HALF_HEADER, HEADERS):
        with Peer(server.url) as other:
            other.send(start)
            other.rest()  # each deadline has passed by now
    app.release.set()
    assert peer.answer().body == b"released"
    assert peer.get("/more").body == b"/more"


def test_a_reader_that_stops_ends_the_stream(app: App, server: Server) -> None:
    while not app.events.empty():
        app.events.get()
    with Peer(server.url, receive_buffer=4096) as peer:
        peer.send(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
        assert [app.next_event(), app.next_event()] == ["/stream", "disconnect"]


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"])
def test_a_reader_that_stops_does_not_hold_a_finished_answer(headers: str) -> None:
    patient = {"idle_timeout": 3600, "shutdown_timeout": 3600}
    app = App()
    with serving(app, **{**SHORT, **patient}) as server:
        peer = Peer(server.url, receive_buffer=4096)
        peer.send(f"GET /big HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
        assert app.next_event() == "/big"
        # The end of the block waits for the connection to go.
    with peer:
        assert peer.closes_at_last()


def test_a_slow_reader_that_goes_on_gets_everything(server: Server) -> None:
    with Peer(server.url, receive_buffer=4096) as peer:
        answer = peer.get("/big")
    assert len(answer.body) == 65_536 * 1024


def test_many_idle_connections_leave_room_for_others() -> None:
    with serving(App(), **{**SHORT, "header_timeout": 1.5}) as server:
        idle = [Peer(server.url) for _ in range(300)]
        for number, peer in enumerate(idle):
            peer.send(HALF_HEADER if number % 2 else b"")
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


def admitted(server: Server) -> bool:
    with Peer(server.url) as peer:
        try:
            return peer.get("/").status == 200
        except ConnectionError:
            return False
