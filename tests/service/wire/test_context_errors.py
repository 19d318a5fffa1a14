"""Errors that nobody caught, and clients that leave."""

import asyncio
import logging

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from tests.service.wire.watched import ACCESS, Watched, access, around, http_scope, run_raw

FAILS = "/v1/models/{model}/fails"


def test_what_escapes_the_app_is_an_internal_problem(
    box: Watched, lines: list[logging.LogRecord]
) -> None:
    answer = box.ask("GET", "/v1/models/m/fails", {"X-Request-ID": "abc"})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"] == "abc"
    body = answer.json()
    assert body["type"] == "urn:rwsstore:problem:internal"
    assert (body["instance"], body["request_id"]) == ("/v1/models/m/fails", "abc")
    assert "secret" not in answer.text
    assert box.count("requests_total", method="GET", route=FAILS, status="500") == 1
    assert box.count("requests_in_flight") == 0
    (error,) = [line for line in lines if line.exc_info]
    assert "the secret of m" in str(error.exc_info)


def test_an_app_without_an_answer_is_an_internal_problem(
    lines: list[logging.LogRecord],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Says nothing."""

    box = around(app)
    sent = run_raw(box.app, http_scope())
    assert sent[0]["status"] == 500
    assert [line.getMessage() for line in lines if line.levelname == "ERROR"] == [
        "unmatched gave no answer"
    ]


def test_after_the_beginning_of_an_answer_an_error_cuts_it_off(
    lines: list[logging.LogRecord],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    box = around(app)
    with pytest.raises(RuntimeError, match="halfway"):
        run_raw(box.app, http_scope())
    assert box.count("requests_total", method="GET", route="unmatched", status="200") == 1
    assert len(access(lines)) == 1


def test_a_client_that_leaves_is_no_error(lines: list[logging.LogRecord]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    box = around(app)
    assert run_raw(box.app, http_scope()) == []
    assert box.count("requests_total", method="GET", route="unmatched", status="499") == 1
    assert [(line.name, line.levelname) for line in lines] == [(ACCESS, "INFO")]


def test_nor_is_one_that_leaves_in_the_middle_of_its_body(lines: list[logging.LogRecord]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    box = around(app)
    part = {"type": "http.request", "body": b"x", "more_body": True}
    assert run_raw(box.app, http_scope(), [part, {"type": "http.disconnect"}]) == []
    assert access(lines)[0]["status"] == 499
    assert [line.levelname for line in lines] == ["INFO"]


def test_a_request_that_is_given_up_is_counted_and_stays_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    box = around(app)
    with pytest.raises(asyncio.CancelledError):
        run_raw(box.app, http_scope())
    assert box.count("requests_in_flight") == 0
    assert box.count("requests_total", method="GET", route="unmatched", status="499") == 1


def test_the_lifespan_passes_untouched() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    run_raw(around(app).app, {"type": "lifespan"})
    assert seen == [{"type": "lifespan"}]
