"""The load on a service, against a tiny server in the same event loop."""

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st
from serve.load import Load, Plan, answer_in, percentile, run
from serve.server import body_request, form_request, json_request

Reply = Callable[[bytes], bytes]


def reply(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Some\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def post(body: bytes) -> bytes:
    return body_request("POST", "/predict", body, "text/plain")


class Tiny:
    """Answers each request's body with what `reply` makes of it, in two pieces; notes the bodies.

    An empty reply closes the connection.
    """

    def __init__(self, make: Reply) -> None:
        self.make = make
        self.bodies: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        self.bodies.append(mine)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                mine.append(await reader.readexactly(length))
                answer = self.make(mine[-1])
                if not answer:
                    break
                for piece in (answer[:20], answer[20:]):
                    writer.write(piece)
                    await asyncio.sleep(0)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def put_on(
    make: Reply,
    *clients: tuple[bytes, ...],
    seconds: float = 0.15,
    warm_up: float = 0.0,
    paced: tuple[bytes, ...] = (),
    rate: float = 0.0,
) -> tuple[Load, Tiny]:
    tiny = Tiny(make)

    async def both() -> Load:
        server = await asyncio.start_server(tiny.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await run(Plan(port, clients, warm_up, seconds, paced, rate))

    return asyncio.run(both()), tiny


def test_every_client_sends_its_own_requests_in_turn_and_answers_are_counted() -> None:
    load, tiny = put_on(lambda _: reply(200), (post(b"a"), post(b"b")), (post(b"c"),))
    ends = {b"c": [b"c"], b"a": [b"a", b"b"]}
    assert {bodies[0] for bodies in tiny.bodies} == set(ends)
    for bodies in tiny.bodies:
        cycle = ends[bodies[0]]
        assert bodies == (cycle * len(bodies))[: len(bodies)]
    sent = sum(len(bodies) for bodies in tiny.bodies)
    assert 4 < load.answers <= sent
    assert not load.errors
    assert load.throughput == load.answers / 0.15
    assert 0 < load.p50 <= load.p90 <= load.p99


def test_answers_of_the_warm_up_are_not_counted() -> None:
    load, tiny = put_on(lambda _: reply(200), (post(b"a"),), warm_up=0.1, seconds=0.1)
    assert 0 < load.answers < len(tiny.bodies[0]) - 1


def test_another_status_is_an_error_and_no_answer() -> None:
    load, tiny = put_on(
        lambda body: reply(503 if body == b"bad" else 200), (post(b"good"),), (post(b"bad"),)
    )
    bad = next(bodies for bodies in tiny.bodies if bodies[0] == b"bad")
    good = next(bodies for bodies in tiny.bodies if bodies[0] == b"good")
    assert load.errors == {"503": len(bad)}
    assert 0 < load.answers <= len(good)


def test_errors_alone_have_no_latency() -> None:
    load, _ = put_on(lambda _: reply(500), (post(b"a"),))
    assert load.answers == 0
    assert math.isnan(load.p50)


def test_a_lost_connection_is_an_error_and_a_client_gives_up() -> None:
    load, tiny = put_on(lambda _: b"", (post(b"a"),))
    assert sum(load.errors.values()) == 5
    assert load.answers == 0
    assert [len(bodies) for bodies in tiny.bodies if bodies] == [1] * 5


def test_an_answer_without_a_length_is_an_error() -> None:
    load, _ = put_on(
        lambda _: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", (post(b""),)
    )
    assert load.answers == 0
    assert all("Content-Length" in error for error in load.errors)
    assert load.errors


def test_nothing_that_listens_is_an_error() -> None:
    plan = Plan(port=1, clients=((b"",),), warm_up=0, seconds=0.1)
    with pytest.raises(OSError, match="Connect call failed"):
        asyncio.run(run(plan))


def test_requests_with_a_schedule_go_beside_the_others_in_their_order() -> None:
    changes = tuple(post(b"change %d" % number) for number in range(40))
    load, tiny = put_on(
        lambda _: reply(200), (post(b"a"),), paced=changes, rate=50.0, warm_up=0.1, seconds=0.3
    )
    sent = next(bodies for bodies in tiny.bodies if bodies[0] != b"a")
    assert sent == [b"change %d" % number for number in range(len(sent))]
    assert 14 <= load.paced_due <= 16  # 50 a second, 0.3 s
    assert 0 < load.paced_answered <= len(sent)
    assert load.paced_p50 > 0
    assert load.answers > 0


def test_a_refused_change_is_an_error() -> None:
    load, _ = put_on(
        lambda body: reply(412 if body == b"change" else 200),
        (post(b"a"),),
        paced=(post(b"change"),),
        rate=20.0,
    )
    assert load.errors == {"412": 1}
    assert load.paced_answered == 0


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.91, 10), (0.99, 10), (1.0, 10)]
)
def test_percentiles_are_values_that_were_measured(share: float, expected: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_the_smallest_that_enough_values_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values)
    below = [value for value in values if value < found]
    assert not below or len(below) < share * len(values)


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


@given(st.integers(100, 599), st.binary(max_size=50), st.integers(0, 200))
def test_an_answer_is_complete_with_its_last_byte(status: int, body: bytes, cut: int) -> None:
    whole = reply(status, body)
    part = whole[:cut]
    assert answer_in(part) == ((status, len(whole)) if cut >= len(whole) else None)
    assert answer_in(whole + b"more") == (status, len(whole))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 0",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0",
    ],
)
def test_what_cannot_be_measured_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected HTTP/1\.1 with a Content-Length"):
        answer_in(head + b"\r\n\r\n")


def test_requests_say_how_long_they_are() -> None:
    for request, kind in (
        (form_request("/p", "image", b"\xff\xd8"), b"multipart/form-data; boundary="),
        (json_request("PUT", "/p", {"a": 1}, headers=("X: y",)), b"application/json"),
    ):
        head, _, body = request.partition(b"\r\n\r\n")
        assert b"Content-Type: " + kind in head
        assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")
    assert b"X: y" in request
    assert body == b'{"a": 1}'
