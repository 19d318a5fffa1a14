"""Queries and JSON bodies that are read before their route."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient
from starlette.types import Message

from rwsstore_service.api.predict import PlainRequest
from tests.service.answering import IMAGE, JSON, MODEL, SET, picture, problem, state

PREDICTING = f"{MODEL}/predict"


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/v1/models?x=1", "none"),
        ("GET", f"{MODEL}?x", "none"),
        ("GET", f"{SET}?verfy=true", "verify"),
        ("POST", f"{PREDICTING}?patchse=none", "patchset, timeout_ms, top_k"),
        ("GET", "/v1/patches/fog?=1", "none"),
        ("GET", "/v1/audit?befor=1", "before, limit"),
        ("PUT", f"{SET}/fog?alpha=0.5", "none"),
    ],
)
def test_a_query_that_is_misspelt(reading: TestClient, method: str, path: str, told: str) -> None:
    before = state(reading)
    answer = reading.request(method, path)
    body = problem(answer, "invalid-request")
    assert body["detail"].endswith(f"known here: {told}")
    assert state(reading) == before


def test_a_query_that_says_it_twice(reading: TestClient) -> None:
    for query in ("patchset=fog&patchset=none", "top_k=1&top_k=1"):
        answer = reading.post(f"{PREDICTING}?{query}", content=picture(), headers=IMAGE)
        assert "twice" in problem(answer, "invalid-request")["detail"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"alpha": 0.5, "alpha": 0.5}', "name 'alpha' appears twice"),
        (b'{"alpha": ', "line 1 column 11"),
        (b'{"alpha": "\xff"}', "utf-8"),
        (b"[" * 3000, "nested too deeply"),
        (b"[" * 100_000, "lists and objects"),
        (b'{"alpha": 1' + b"0" * 5000 + b"}", "digits"),
    ],
)
def test_json_that_cannot_be_read(reading: TestClient, body: bytes, told: str) -> None:
    answer = reading.put(f"{SET}/fog", content=body, headers=JSON)
    assert told in problem(answer, "bad-request")["detail"]
    assert state(reading)[0] == 1


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_ways_to_say_json(client: TestClient, kind: str) -> None:
    answer = client.put(f"{SET}/fog", content=b'{"alpha": 0.5}', headers={"content-type": kind})
    assert answer.is_success


@pytest.mark.parametrize("kind", ["text/json", "application/problem+json", "json", ""])
def test_ways_that_are_not_json(reading: TestClient, kind: str) -> None:
    answer = reading.put(f"{SET}/fog", content=b"{}", headers={"content-type": kind})
    problem(answer, "unsupported-media")


@pytest.mark.parametrize(
    ("bodies", "whole"),
    [((b"ab",), b"ab"), ((b"ab", b"", b"c"), b"abc"), ((b"",), b""), ((b"a", None), None)],
)
def test_a_plain_requests_body(bodies: tuple[bytes | None, ...], whole: bytes | None) -> None:
    """None is a sender that leaves."""
    last = len(bodies) - 1
    messages: list[Message] = [
        {"type": "http.disconnect"}
        if body is None
        else {"type": "http.request", "body": body, "more_body": number < last}
        for number, body in enumerate(bodies)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    request = PlainRequest({"type": "http", "headers": []}, receive)
    if whole is None:
        with pytest.raises(ClientDisconnect):
            asyncio.run(request.body())
    else:
        assert asyncio.run(request.body()) == whole
    assert not messages
