"""The server over a real socket: HTTP as it should be, starting, and its address."""

import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from rwsstore.errors import ConfigError, IntegrityError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.server import Server, bind, run
from tests.service.wire.peers import App, Peer, live, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(App()) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.url) as peer:
        yield peer


def test_a_connection_is_kept_for_further_requests(peer: Peer) -> None:
    assert [peer.get(path).body for path in ("/1", "/2", "/3")] == [b"/1", b"/2", b"/3"]


def test_it_says_the_date_and_not_who_it_is(peer: Peer) -> None:
    headers = [peer.get("/").headers for _ in range(2)][1]
    assert "server" not in headers
    assert set(headers) <= {"date", "content-length"}


def test_a_body_comes_as_it_was_sent(peer: Peer) -> None:
    body = bytes(range(256)) * 4096
    peer.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 1048576\r\n\r\n" + body)
    assert peer.answer().body == body


def test_so_does_one_in_chunks(peer: Peer) -> None:
    peer.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (b"1\r\na\r\n", b"2;note=x\r\nbc\r\n", b"0\r\nTrailer: y\r\n\r\n"):
        peer.send(piece)
    assert peer.answer().body == b"abc"
    assert peer.get("/next").body == b"/next"


def test_many_chunks_of_a_sensible_size_are_no_offence(peer: Peer) -> None:
    peer.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.send((b"40\r\n" + b"c" * 64 + b"\r\n") * 3000 + b"0\r\n\r\n")
    assert peer.answer().body == b"c" * 64 * 3000


def test_pipelined_requests_are_answered_in_order(peer: Peer) -> None:
    bodies = [b"body %d" % number for number in range(50)]
    head = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
    peer.send(b"".join(head % len(body) + body for body in bodies))
    assert [peer.answer().body for _ in bodies] == bodies


def test_a_pipelined_request_after_an_unread_body(peer: Peer) -> None:
    peer.send(b"POST /early HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n")
    assert peer.answer().body == b"/early"
    peer.send(b"x" * 200_000 + b"GET /next HTTP/1.1\r\nHost: here\r\n\r\n")
    assert peer.answer().body == b"/next"


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(peer: Peer) -> None:
    peer.send(
        b"POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    assert peer.answer().status == 100
    peer.send(b"body")
    assert peer.answer().body == b"body"


def test_a_client_that_is_answered_early_need_not_send(peer: Peer) -> None:
    peer.send(
        b"POST /early HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    assert peer.answer().status == 200


def test_connection_close_closes(peer: Peer) -> None:
    answer = peer.get("/last", headers="Connection: close\r\n")
    assert (answer.body, answer.headers["connection"]) == (b"/last", "close")
    assert peer.rest() == b""


def test_http_1_0_is_answered_and_closed(peer: Peer) -> None:
    peer.send(b"GET /old HTTP/1.0\r\n\r\n")
    assert peer.answer().body == b"/old"
    assert peer.rest() == b""


def test_an_app_that_fails_is_answered_with_a_problem(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = peer.get("/fail")
    assert (answer.status, answer.problem) == (500, "internal")
    assert b"as it was asked to" not in answer.body
    assert "as it was asked to" in caplog.text
    assert peer.rest() == b""


def test_an_app_that_fails_in_its_answer_breaks_off(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.send(b"GET /break HTTP/1.1\r\nHost: here\r\n\r\n")
    assert peer.answer().status == 200
    assert peer.rest() == b""
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert errors == ["in the middle"]


def test_a_client_that_leaves_is_noticed() -> None:
    app = App()
    with serving(app) as server, Peer(server.url) as peer:
        with Peer(server.url) as leaver:
            leaver.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf")
            assert app.next_event() == "/echo"
        assert app.next_event() == "disconnect"
        assert peer.get("/here").body == b"/here"


def test_stopping_does_not_wait_for_a_reader_for_ever() -> None:
    app = App()
    with serving(app, shutdown_timeout=0.1, write_timeout=3600) as server:
        peer = Peer(server.url, receive_buffer=4096)
        peer.send(b"GET /big HTTP/1.1\r\nHost: here\r\n\r\n")
        assert app.next_event() == "/big"
    assert not server.server_state.connections
    with peer:
        assert peer.closes_at_last()


def test_a_port_that_is_taken(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1 port {port}: Address already in use"):
        run(App(), Settings.of(port=port), announce=print)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1 port 0: Cannot assign"):
        bind(Settings.of(host="203.0.113.1", port=0))


def test_what_is_no_address() -> None:
    with pytest.raises(ConfigError, match="RWS_HOST: 'no such host' is not an address"):
        bind(Settings.of(host="no such host", port=0))


def test_a_name_with_both_is_served_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    with bind(Settings.of(host="localhost", port=0)) as listener:
        assert listener.family == socket.AF_INET


def test_an_ipv6_address_is_announced_as_a_url() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(App(), host="::1") as server:
        assert server.url.startswith("http://[::1]:")


def test_too_few_files_for_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 512))
    with pytest.raises(ConfigError, match=r"RWS_MAX_CONNECTIONS needs 1280 .* may have 512"):
        run(App(), Settings.of(port=0), announce=print)


def test_more_files_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: asked.append(limits))
    with serving(App(), max_connections=1000):
        pass
    assert asked == [(1256, 4096)]


def test_a_start_up_that_fails_fails_as_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "Traceback (and so on)"})
        raise IntegrityError("the store is damaged")

    with pytest.raises(IntegrityError, match="the store is damaged"):
        run(app, Settings.of(port=0), announce=pytest.fail)
    assert "Traceback" not in caplog.text


def test_a_shutdown_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "the journal is open"})

    with serving(app):
        pass
    assert "the journal is open" in caplog.text


def test_the_lifespan_frames_the_requests() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append("up")
        await live(receive, send)
        events.append("down")

    with serving(app):
        assert events == ["up"]
    assert events == ["up", "down"]
