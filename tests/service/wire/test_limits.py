"""BodyLimit and InFlight, over real sockets."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from rwsstore_service.wire.limits import HEALTH_PATHS, BodyLimit, InFlight
from rwsstore_service.wire.server import Server
from tests.service.wire.peers import App, Peer, live, respond, serving

LIMIT = 1000


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a body's length; /started answers first and then reads it."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    scope.setdefault("state", {})["request_id"] = "abc"
    if scope["path"] == "/unread":
        await respond(send, b"unread")
    elif scope["path"] == "/started":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"started", "more_body": True})
        await Request(scope, receive).body()
        await send({"type": "http.response.body", "body": b"never"})
    elif scope["path"] == "/stubborn":  # as frameworks are, which answer whatever happens
        with suppress(ClientDisconnect):
            await Request(scope, receive).body()
        await respond(send, b"could not read that", status=400)
    else:
        body = await Request(scope, receive).body()
        await respond(send, str(len(body)).encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    app = BodyLimit(reading, lambda scope: 5 * LIMIT if scope["path"] == "/patches" else LIMIT)
    with serving(app) as server:
        yield server


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.url) as peer:
        yield peer


def declare(length: int, *, path: str = "/", more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n{more}\r\n"
    return head.encode()


def chunks(*sizes: int, path: str = "/") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n" % size + b"x" * size + b"\r\n" for size in sizes)


def test_a_body_of_the_limit_is_read(peer: Peer) -> None:
    peer.send(declare(LIMIT) + b"x" * LIMIT)
    assert peer.answer().body == b"1000"
    peer.send(chunks(LIMIT - 1, 1) + b"0\r\n\r\n")
    assert peer.answer().body == b"1000"


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_declared_length_is_refused_before_the_body(peer: Peer, more: str) -> None:
    peer.send(declare(LIMIT + 1, more=more))
    answer = peer.answer()
    assert (answer.status, answer.problem) == (413, "too-large")
    assert answer.headers["connection"] == "close"
    problem = json.loads(answer.body)
    assert (problem["limit"], problem["found"], problem["instance"]) == (LIMIT, LIMIT + 1, "/")
    assert "1001 bytes or more; at most 1000" in problem["detail"]
    assert peer.rest() == b""


def test_a_refusal_reaches_a_client_that_only_reads_after_sending(peer: Peer) -> None:
    peer.send(declare(3_000_000) + b"x" * 3_000_000)
    assert peer.answer().problem == "too-large"
    assert peer.rest() == b""


def test_chunks_are_refused_as_soon_as_they_are_too_many(peer: Peer) -> None:
    peer.send(chunks(LIMIT, 1))
    answer = peer.answer()
    assert (answer.status, answer.problem) == (413, "too-large")
    assert answer.headers["connection"] == "close"
    problem = json.loads(answer.body)
    assert (problem["limit"], problem["found"]) == (LIMIT, LIMIT + 1)
    assert peer.rest() == b""


def test_each_route_has_its_own_limit(peer: Peer) -> None:
    peer.send(declare(5 * LIMIT, path="/patches") + b"x" * 5 * LIMIT)
    assert peer.answer().body == b"5000"
    peer.send(declare(5 * LIMIT + 1, path="/patches"))
    assert peer.answer().status == 413


def test_a_body_that_the_app_does_not_want_is_refused_all_the_same(peer: Peer) -> None:
    peer.send(declare(LIMIT + 1, path="/unread"))
    assert peer.answer().status == 413


def test_an_answer_that_has_begun_is_cut_off(
    server: Server, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.send(chunks(LIMIT, path="/started"))
    assert peer.answer().status == 200
    assert peer.file.readline() == b"7\r\n"
    assert peer.file.readline() == b"started\r\n"
    peer.send(b"1\r\nx\r\n")
    assert peer.rest() == b""
    with Peer(server.url) as other:
        assert other.get("/").status == 200
    assert [record.getMessage() for record in caplog.records] == [
        "ASGI callable returned without completing response."
    ]


def test_an_app_that_answers_all_the_same_is_not_heard(
    server: Server, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.send(chunks(LIMIT, 1, path="/stubborn"))
    assert peer.answer().status == 413
    assert peer.rest() == b""
    with Peer(server.url) as other:
        assert other.get("/").status == 200
    assert not caplog.records


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_not_read(peer: Peer, encoding: str) -> None:
    peer.send(declare(10, more=f"Content-Encoding: {encoding}\r\n"))
    answer = peer.answer()
    assert (answer.status, answer.problem) == (415, "unsupported-media")
    assert answer.headers["accept-encoding"] == "identity"
    assert peer.rest() == b""


def test_a_second_encoding_does_not_hide_behind_the_first(peer: Peer) -> None:
    more = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
    peer.send(declare(10, more=more))
    assert peer.answer().status == 415


def test_no_encoding_by_name_is_none(peer: Peer) -> None:
    peer.send(declare(4, more="Content-Encoding: identity\r\n") + b"body")
    assert peer.answer().body == b"4"


def test_a_client_that_leaves_in_its_body_is_no_failure(
    server: Server, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    with Peer(server.url) as leaver:
        leaver.send(declare(10) + b"half")
    assert all(peer.get("/").status == 200 for _ in range(5))
    assert not caplog.records


def test_so_many_requests_at_once_and_no_more() -> None:
    app = App()
    with serving(InFlight(app, 2)) as server:
        busy = [Peer(server.url) for _ in range(2)]
        for peer in busy:
            peer.send(b"GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
            assert app.next_event() == "/wait"
        with Peer(server.url) as surplus:
            answer = surplus.get("/more")
            assert (answer.status, answer.problem) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            for path in sorted(HEALTH_PATHS):
                assert surplus.get(path).body == path.encode()
            app.release.set()
            for peer in busy:
                with peer:
                    assert peer.answer().body == b"released"
            assert surplus.get("/more").body == b"/more"


def test_a_refused_request_s_body_is_not_read() -> None:
    app = App()
    with serving(InFlight(app, 1)) as server, Peer(server.url) as busy, Peer(server.url) as peer:
        busy.send(b"GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
        assert app.next_event() == "/wait"
        peer.send(declare(1_000_000, more="Expect: 100-continue\r\n"))
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert peer.rest() == b""
        app.release.set()
        assert busy.answer().status == 200


def test_a_request_that_fails_gives_its_place_back() -> None:
    app = App()
    with serving(InFlight(app, 1)) as server:
        for _ in range(3):
            with Peer(server.url) as peer:
                assert peer.get("/fail").status == 500


def test_what_is_no_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> None:
        raise AssertionError

    for layer in (BodyLimit(app, lambda _: 0), InFlight(app, 0)):
        asyncio.run(layer({"type": "lifespan"}, nothing, nothing))  # type: ignore[arg-type]
    assert seen == ["lifespan", "lifespan"]
