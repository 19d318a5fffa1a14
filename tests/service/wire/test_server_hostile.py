"""What is no request: each gets an answer that says so, and the next client notices nothing."""

from collections.abc import Iterator

import pytest

from rwsstore_service.wire.server import Server
from tests.service.wire.peers import App, Peer, serving

LIMIT = 4096


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def server(app: App) -> Iterator[Server]:
    with serving(app, max_header_bytes=LIMIT) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.url) as peer:
        yield peer
    with Peer(server.url) as other:
        assert other.get("/after").body == b"/after"


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00" * 10,
    "words": b"let me in\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "nul-in-path": b"GET /\0 HTTP/1.1\r\nHost: here\r\n\r\n",
    "nul-in-name": b"GET / HTTP/1.1\r\nHost: here\r\nX\0Y: 1\r\n\r\n",
    "nul-in-value": b"GET / HTTP/1.1\r\nHost: here\r\nX: a\0b\r\n\r\n",
    "return-in-value": b"GET / HTTP/1.1\r\nHost: here\r\nX: a\rb\r\n\r\n",
    "space-before-colon": b"GET / HTTP/1.1\r\nHost: here\r\nX : a\r\n\r\n",
    "http-2": b"PRI * HTTP/2.0\r\nHost: here\r\n\r\nSM\r\n\r\n",
    "http-0.9": b"GET /\r\n\r\n",
    "two-lengths": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nhello!",
    "two-lengths-in-one": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "signed-length": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: +5\r\n\r\nhello",
    "negative-length": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -5\r\n\r\nhello",
    "endless-length": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1"
    + b"0" * 99
    + b"\r\n\r\n",
    "length-and-chunks": b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks-and-length": b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two-encodings": b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "other-encoding": b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "odd-encoding": b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunks-in-1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "websocket": b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_a_problem(app: App, peer: Peer, name: str) -> None:
    peer.send(MALFORMED[name])
    answer = peer.answer()
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert answer.headers["connection"] == "close"
    assert "date" in answer.headers
    assert peer.rest() == b""
    assert app.events.empty()


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n", id="no-number"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"f" * 21 + b"\r\n", id="endless"),
        pytest.param(b"1\r\naXX1\r\nb\r\n", id="bad-end"),
        pytest.param(b"1;" + b"x" * 2 * LIMIT, id="long-line"),
        pytest.param(b"0\r\nno trailer\r\n\r\n", id="bad-trailer"),
        pytest.param(b"1\r\na\r\n" * 5000, id="tiny-chunks"),
    ],
)
def test_a_malformed_body_is_told_so_and_its_handler_too(app: App, peer: Peer, body: bytes) -> None:
    peer.send(CHUNKED + body)
    answer = peer.answer()
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert b'"instance":"/echo"' in answer.body
    assert peer.rest() == b""
    assert [app.next_event(), app.next_event()] == ["/echo", "disconnect"]


def test_a_malformed_body_after_its_answer_only_closes(app: App, peer: Peer) -> None:
    peer.send(CHUNKED.replace(b"/echo", b"/early"))
    assert peer.answer().status == 200
    peer.send(b"zz\r\n")
    assert peer.rest() == b""
    assert app.next_event() == "/early"


def test_a_head_request_gets_no_body(app: App, peer: Peer) -> None:
    peer.send(CHUNKED.replace(b"POST", b"HEAD") + b"zz\r\n")
    answer = peer.answer(head=True)
    assert answer.status == 400
    assert peer.rest() == b""
    assert [app.next_event(), app.next_event()] == ["/echo", "disconnect"]


def test_a_line_that_may_hold_a_secret_is_not_sent_back(peer: Peer) -> None:
    peer.send(b"GET / HTTP/1.1\r\nHost: here\r\nAuthorization : Bearer my-secret\r\n\r\n")
    answer = peer.answer()
    assert b"illegal header line" in answer.body
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"X: " + b"a" * LIMIT + b"\r\n\r\n", id="one-piece"),
        pytest.param(b"a: b\r\n" * LIMIT + b"\r\n", id="many"),
        pytest.param(b"X: " + b"a" * 1_000_000, id="no-end"),
    ],
)
def test_long_headers(app: App, peer: Peer, header: bytes) -> None:
    peer.send(b"GET / HTTP/1.1\r\nHost: here\r\n" + header)
    answer = peer.answer()
    assert (answer.status, answer.problem) == (431, "headers-too-large")
    assert f'"limit":{LIMIT}'.encode() in answer.body
    assert peer.rest() == b""
    assert app.events.empty()


def test_a_long_path_counts_too(peer: Peer) -> None:
    peer.send(b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    assert peer.answer().status == 431


def test_headers_up_to_the_limit_are_read(app: App, peer: Peer) -> None:
    start = b"GET /full HTTP/1.1\r\nHost: here\r\nX: "
    peer.send(start + b"a" * (LIMIT - len(start) - 4) + b"\r\n\r\n")
    assert peer.answer().body == b"/full"
    peer.send(start + b"a" * (LIMIT - len(start) - 3) + b"\r\n\r\n")
    assert peer.answer().status == 431
    assert app.next_event() == "/full"


def test_a_megabyte_of_garbage(peer: Peer) -> None:
    peer.send(bytes(range(0x21, 0x7F)) * 11_000)
    assert peer.answer().problem == "headers-too-large"
    assert peer.rest() == b""


def test_other_offers_to_upgrade_are_ignored(
    app: App, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n"
    assert peer.get("/plain", headers=offer).body == b"/plain"
    assert peer.get("/again").body == b"/again"
    assert [app.next_event(), app.next_event()] == ["/plain", "/again"]
    assert not caplog.records


@pytest.fixture(autouse=True)
def _no_old_events(app: App, peer: Peer) -> None:
    while not app.events.empty():
        app.events.get()
