"""Request ids, access lines and counting."""

import logging
import re

import pytest
from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from rwsstore_service.wire.logs import REQUEST_ID
from tests.service.wire.watched import Watched, access, around, http_scope, run_raw, watched

PREDICT = "/v1/models/{model}/predict"


@pytest.mark.parametrize("given_id", ["a", "A-b_c.9", "0" * 64])
def test_a_good_request_id_is_taken_over(box: Watched, given_id: str) -> None:
    answer = box.ask("POST", "/v1/models/m/predict", {"X-Request-ID": given_id})
    assert answer.headers.get_list("X-Request-ID") == [given_id]
    assert answer.json()["request_id"] == given_id


@pytest.mark.parametrize("given_id", ["", "0" * 65, "a b", "a\tb", "a,b", "<script>", "../x"])
def test_any_other_is_replaced(box: Watched, given_id: str) -> None:
    answer = box.ask("GET", "/livez", {"X-Request-ID": given_id})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("values", [[b"a\n"], [b"\xe4"], [b"a", b"b"], []])
def test_a_line_break_or_two_ids_are_none(values: list[bytes]) -> None:
    headers = [(b"x-request-id", value) for value in values]
    sent = run_raw(watched().app, http_scope("/livez", headers))
    (found,) = [value for name, value in sent[0]["headers"] if name == b"x-request-id"]
    assert re.fullmatch(rb"[0-9a-f]{16}", found)


def test_made_ids_differ(box: Watched) -> None:
    answers = box.ask_all([("GET", "/livez")] * 20)
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 20


def test_an_answers_own_request_id_gives_way_and_other_headers_stay(box: Watched) -> None:
    answer = box.ask("GET", "/who", {"X-Request-ID": "mine"})
    assert answer.headers.get_list("X-Request-ID") == ["mine"]
    assert answer.headers["X-Kept"] == "yes"


def test_the_id_is_known_to_log_lines_in_the_request_and_not_after() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(REQUEST_ID.get())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await around(app).app(scope, receive, send)
        seen.append(REQUEST_ID.get())

    run_raw(serve, http_scope(headers=[(b"x-request-id", b"abc")]))
    assert seen == ["abc", ""]


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/v1/models/bundled/predict?x=1", PREDICT, "200"),
        ("GET", "/v1/models/bundled/predict", PREDICT, "405"),
        ("GET", "/livez", "/livez", "200"),
        ("GET", "/outer/x", "/outer/{thing}", "200"),
        ("GET", "/inner/plain/x", "/inner/plain/{thing}", "200"),
        ("GET", "/static/a/b", "/static", "200"),
        ("GET", "/livez/", "unmatched", "307"),
        ("GET", "/nowhere", "unmatched", "404"),
    ],
)
def test_requests_are_counted_by_the_template_of_their_route(
    box: Watched, method: str, path: str, route: str, status: str
) -> None:
    box.ask(method, path)
    assert box.count("requests_total", method=method, route=route, status=status) == 1
    assert box.count("request_seconds_count", route=route) == 1
    assert box.count("requests_in_flight") == 0


def series(box: Watched) -> set[str]:
    families = text_string_to_metric_families(box.metrics.render()[0].decode())
    return {
        f"{one.name}{sorted(one.labels.items())}" for found in families for one in found.samples
    }


def test_hostile_paths_and_methods_add_no_series(box: Watched) -> None:
    def attack(salt: str) -> None:
        paths = [f"/{salt}", f"/v1/models/{salt}/predict", f"/v1/{salt}/../..", f"/static/{salt}"]
        paths += [f"/outer/%00{salt}%0a", f"/v1/models/%2e%2e%2f{salt}/predict", "/" + salt * 500]
        methods = ["POST", "GET", f"BREW{salt}"]
        box.ask_all([(method, path) for path in paths for method in methods])

    attack("a")
    before = series(box)
    for salt in ("b", "cc", "fog", "0123456789"):
        attack(salt)
    assert series(box) == before
    assert not [one for one in before if "BREW" in one or "fog" in one]


def test_a_request_in_flight_is_seen() -> None:
    seen: list[float | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(counted.count("requests_in_flight"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    counted = around(app)
    run_raw(counted.app, http_scope())
    assert seen == [1]
    assert counted.count("requests_in_flight") == 0


def test_every_request_has_one_line(box: Watched, lines: list[logging.LogRecord]) -> None:
    box.ask("GET", "/who?token=s3cr3t", {"Authorization": "Bearer s3cr3t"})

    (line,) = access(lines)
    assert line["levelname"] == "INFO"
    assert {name: line[name] for name in ("method", "path", "status", "actor", "client")} == {
        "method": "GET",
        "path": "/who",
        "status": 200,
        "actor": "camera",
        "client": "192.0.2.7",
    }
    assert isinstance(line["ms"], float)
    assert "s3cr3t" not in repr(line)


def test_health_is_logged_for_those_who_debug_unless_it_fails(
    box: Watched, lines: list[logging.LogRecord]
) -> None:
    box.ask_all([("GET", "/livez"), ("GET", "/readyz")])
    levels = [(line["path"], line["levelname"]) for line in access(lines)]
    assert levels == [("/livez", "DEBUG"), ("/readyz", "INFO")]


def test_who_brings_no_token_is_anonymous_and_an_address_may_be_missing(
    lines: list[logging.LogRecord],
) -> None:
    run_raw(watched().app, http_scope("/livez"))
    (line,) = access(lines)
    assert line["actor"] == "anonymous"
    assert "client" not in line


def test_a_long_path_is_cut_in_the_log(box: Watched, lines: list[logging.LogRecord]) -> None:
    box.ask("GET", "/" + "x" * 5000)
    (line,) = access(lines)
    assert len(str(line["path"])) == 256


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("rate-limited", "rate_limited"),
        ("overloaded", "overloaded"),
        ("unauthorized", "unauthorized"),
        ("too-large", "too_large"),
    ],
)
def test_refusals_are_counted_by_reason(
    box: Watched, lines: list[logging.LogRecord], kind: str, reason: str
) -> None:
    box.ask("GET", f"/v1/models/m/refused/{kind}")
    assert box.count("rejected_total", reason=reason) == 1
    assert box.count("rejected_total", reason="forbidden") == 0
    assert access(lines)[0]["problem"] == kind


def test_other_problems_are_no_refusals(box: Watched, lines: list[logging.LogRecord]) -> None:
    box.ask_all([("GET", "/readyz"), ("GET", "/v1/models/m/refused/unknown-patch")])
    assert "} 1.0" not in "\n".join(
        line for line in box.metrics.render()[0].decode().splitlines() if "rejected" in line
    )
    assert [line["problem"] for line in access(lines)] == ["unavailable", "unknown-patch"]


@given(
    body=st.one_of(st.binary(), st.sampled_from([b"[]", b"{}", b'{"type": 1}', b'{"type": "x:"}']))
)
def test_a_problem_that_cannot_be_read_passes_unchanged(body: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kind = (b"content-type", b"application/problem+json")
        await send({"type": "http.response.start", "status": 400, "headers": [kind]})
        await send({"type": "http.response.body", "body": body})

    sent = run_raw(around(app).app, http_scope())
    assert sent[1]["body"] == body
