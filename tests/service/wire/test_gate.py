import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore_service.wire.gate import Access, Gate, Principal
from rwsstore_service.wire.limits import SecurityHeaders
from rwsstore_service.wire.tokens import read_tokens
from tests.service.wire.asking import ADMIN, READER, Clock, Route, ask, bearer, settings_of

PATCHSET = "/v1/models/bundled/patchset"

# method, path, what it needs
ROUTES = [
    ("GET", "/livez", "nobody"),
    ("HEAD", "/livez", "nobody"),
    ("GET", "/readyz", "nobody"),
    ("GET", "/v2/health/live", "nobody"),
    ("GET", "/v2/health/ready", "nobody"),
    ("GET", "/metrics", "nobody"),
    ("GET", "/docs", "nobody"),
    ("GET", "/docs/swagger-ui-bundle.js", "nobody"),
    ("GET", "/openapi.json", "nobody"),
    ("GET", "/v1/models", "reader"),
    ("GET", "/v1/models/bundled", "reader"),
    ("GET", "/v1/patches", "reader"),
    ("GET", "/v1/patches/fog", "reader"),
    ("GET", "/v1/patches/history", "reader"),
    ("GET", "/v1/patches/fog/content", "reader"),
    ("GET", PATCHSET, "reader"),
    ("GET", "/v2", "reader"),
    ("GET", "/v2/models/bundled", "reader"),
    ("GET", "/v2/models/bundled/ready", "reader"),
    ("GET", "/nowhere", "reader"),
    ("OPTIONS", "/v1/models", "reader"),
    ("POST", "/v1/models/bundled/predict", "reader"),
    ("POST", "/v2/models/bundled/infer", "reader"),
    ("POST", "/v2/models/bundled/versions/1/infer", "reader"),
    ("POST", "/v2/repository/index", "reader"),
    ("POST", "/v1/patches", "admin"),
    ("DELETE", "/v1/patches/fog", "admin"),
    ("POST", "/v1/compositions", "admin"),
    ("PUT", PATCHSET, "admin"),
    ("DELETE", PATCHSET, "admin"),
    ("PUT", f"{PATCHSET}/fog", "admin"),
    ("PATCH", f"{PATCHSET}/fog", "admin"),
    ("DELETE", f"{PATCHSET}/fog", "admin"),
    ("GET", "/v1/models/bundled/history", "admin"),
    ("HEAD", "/v1/models/bundled/history", "admin"),
    ("GET", "/v1/models/bundled/history/", "admin"),
    ("GET", "/v1/models/bundled/history\n", "admin"),
    ("POST", "/v1/models/bundled/rollback", "admin"),
    # What only looks as if it needed less.
    ("POST", "/livez", "admin"),
    ("POST", "/metrics", "admin"),
    ("POST", "/v1/models/bundled/predict\n", "admin"),
    ("POST", "/v1/models/bundled/rollback/predict", "admin"),
    ("POST", "/v1/models//predict", "admin"),
    ("POST", "/x/v1/models/bundled/predict", "admin"),
    ("PUT", "/v1/models/bundled/predict", "admin"),
    ("DELETE", f"{PATCHSET}/predict", "admin"),
    ("PUT", "/docs/x", "admin"),
    ("post", "/v1/models/bundled/predict", "admin"),
    ("TRACE", "/v1/models", "admin"),
    ("", "/v1/models", "admin"),
]

STATUS = {  # by need: without a token, a reader's, an admin's
    "nobody": (200, 200, 200),
    "reader": (401, 200, 200),
    "token": (401, 200, 200),
    "admin": (401, 403, 200),
}


def gate(app: ASGIApp, clock: Clock | None = None, **values: Any) -> Gate:
    settings = settings_of(**values)
    tokens = read_tokens(settings)
    access = Access(settings, tokens)
    return Gate(app, settings, tokens, access, clock=clock or Clock())


@pytest.mark.parametrize(("method", "path", "need"), ROUTES)
def test_routes_and_roles(method: str, path: str, need: str) -> None:
    settings = settings_of()
    assert Access(settings, read_tokens(settings)).need(method, path) == need
    route = Route()
    answers = [
        ask(gate(route), method, path, *headers)
        for headers in ([], [bearer(READER)], [bearer(ADMIN)])
    ]
    assert tuple(answer.status for answer in answers) == STATUS[need]
    assert len(route.scopes) == STATUS[need].count(200)
    for answer in answers:
        if answer.status == 401:
            assert answer.headers["www-authenticate"] == 'Bearer realm="rwsstore"'
        if answer.status != 200:
            problem = answer.problem()
            assert (problem["instance"], problem["request_id"]) == (path, "r1")


@pytest.mark.parametrize(("method", "path", "need"), ROUTES)
def test_without_predict_tokens_reading_is_open(method: str, path: str, need: str) -> None:
    status = ask(gate(Route(), predict_tokens=""), method, path).status
    assert status == (401 if need == "admin" else 200)


def test_metrics_may_be_closed_even_where_reading_is_open() -> None:
    closed = gate(Route(), open_metrics=False, predict_tokens="")
    for path in ("/metrics", "/metrics/", "/metrics\n"):
        assert ask(closed, "GET", path).status == 401
        assert ask(closed, "GET", path, bearer(ADMIN)).status == 200


def test_no_path_of_a_real_router_slips_past_the_table() -> None:
    async def reached(request: Request) -> PlainTextResponse:
        return PlainTextResponse("reached")

    paths = ("/metrics", "/v1/models/{model}/history")
    app = Starlette(routes=[HttpRoute(path, reached) for path in paths])
    closed = gate(app, open_metrics=False, predict_tokens="")
    for path in ("/metrics", "/v1/models/bundled/history", "/v1/models/a\nb/history"):
        for tail in ("", "/", "\n", "%0A", "?", "#", "\x00", "\u2028", "/.", "/..", ";x"):
            answer = ask(closed, "GET", path + tail)
            assert answer.body != b"reached"


def test_an_app_within_another_is_no_way_around_the_table() -> None:
    path = "/box/v1/models/bundled/history"
    app = gate(Route())
    assert ask(app, "GET", path, bearer(READER), root_path="/box").status == 403
    assert ask(app, "GET", path, bearer(ADMIN), root_path="/box").status == 200
    assert (
        ask(app, "POST", "/box/v2/repository/index", bearer(READER), root_path="/box").status == 200
    )


def test_options_is_open_where_pages_of_other_origins_may_ask() -> None:
    assert ask(gate(Route()), "OPTIONS").status == 401
    assert ask(gate(Route(), cors_origins="https://a.example"), "OPTIONS").status == 200


def test_the_principal_is_told_to_the_routes() -> None:
    route = Route()
    app = gate(route, predict_tokens="")
    ask(app)
    ask(app, "GET", "/v1/models", bearer(ADMIN))
    ask(app, "GET", "/livez", bearer(ADMIN))
    principals = [scope["state"]["principal"] for scope in route.scopes]
    assert principals == [None, Principal("alice", "admin"), None]


def test_the_log_hears_whose_token_was_refused() -> None:
    seen: list[object] = []
    inner = gate(Route(), rate_limit=1.0, rate_burst=1)

    async def log(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)
        seen.append(scope["state"]["principal"])

    answers = [ask(log, "POST", "/v1/patches", bearer(token)) for token in (READER, READER, "x")]
    assert [answer.status for answer in answers] == [403, 429, 401]
    assert seen == [Principal("bob", "predict"), Principal("bob", "predict"), None]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"bearer  x",
        b"Basic YWRtaW46YWRtaW4=",
        b"Bearer \x00\x00",
        b"Bearer \xff\xfe\xfd" + b"\xc3" * 20,
        b"Bearer " + b"x" * 2**20,
        b"Bearer " + ADMIN.encode() + b"x",
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/docs", "/nowhere"])
def test_a_wrong_token_is_refused_on_open_routes_too(path: str, value: bytes) -> None:
    route = Route()
    answer = ask(gate(route, predict_tokens=""), "GET", path, (b"authorization", value))
    assert (answer.status, answer.kind()) == (401, "unauthorized")
    assert ADMIN.encode() not in answer.body
    assert route.scopes == []


def test_two_authorization_headers_are_none() -> None:
    for pair in ((ADMIN, ADMIN), (ADMIN, "x"), ("x", ADMIN)):
        answer = ask(gate(Route()), "GET", "/v1/models", *(bearer(token) for token in pair))
        assert answer.status == 401


def test_health_checks_are_asked_for_nothing() -> None:
    app = gate(Route(), rate_limit=1.0, rate_burst=1)
    for _ in range(10):
        for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert ask(app, "GET", path, bearer("wrong"), host=b"10.0.0.9:8000").status == 200


def test_requests_are_limited_by_token_wherever_they_come_from() -> None:
    clock = Clock()
    app = gate(Route(), clock, rate_limit=0.4, rate_burst=2, predict_tokens=f"bob:{READER}")

    def status(token: str, address: str) -> int:
        return ask(app, "GET", "/v1/models", bearer(token), client=(address, 1)).status

    assert [status(READER, f"192.0.2.{n}") for n in range(3)] == [200, 200, 429]
    assert [status(ADMIN, "192.0.2.9") for _ in range(3)] == [200, 200, 429]
    answer = ask(app, "GET", "/v1/models", bearer(ADMIN))
    assert (answer.kind(), answer.headers["retry-after"]) == ("rate-limited", "3")
    clock.now += 2.5
    assert status(ADMIN, "192.0.2.9") == 200


def test_requests_without_a_token_are_limited_by_address() -> None:
    app = gate(Route(), rate_limit=1.0, rate_burst=2, predict_tokens="")

    def status(address: str | None, *headers: tuple[bytes, bytes]) -> int:
        client = None if address is None else (address, 1)
        return ask(app, "GET", "/v1/models", *headers, client=client).status

    assert [status("192.0.2.1") for _ in range(3)] == [200, 200, 429]
    assert status("192.0.2.2") == 200
    assert [status(f"2001:db8::{n}") for n in range(3)] == [200, 200, 429]
    assert [status(None) for _ in range(3)] == [200, 200, 429]
    forwarded = (b"x-forwarded-for", b"192.0.2.77")
    assert status("192.0.2.1", forwarded) == 429
    assert status("192.0.2.1", bearer(ADMIN)) == 200  # its own bucket


def test_guessing_tokens_is_limited_by_address() -> None:
    app = gate(Route(), rate_limit=1.0, rate_burst=3)
    guesses = [ask(app, "GET", "/v1/models", bearer(f"guess-{n:020}")).status for n in range(5)]
    assert guesses == [401, 401, 401, 429, 429]
    missing = [ask(app, "POST", "/v1/patches", client=("192.0.2.5", 1)).status for _ in range(4)]
    assert missing == [401, 401, 401, 429]


def test_no_limit() -> None:
    app = gate(Route(), rate_limit=0.0, rate_burst=1)
    assert {ask(app, "GET", "/v1/models", bearer(READER)).status for _ in range(50)} == {200}


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:8000", b"\xff", b"", None])
def test_a_rebound_name_is_refused_whatever_token_it_brings(host: bytes | None) -> None:
    route = Route()
    answer = ask(gate(route), "GET", "/v1/models", bearer(ADMIN), host=host)
    assert (answer.status, answer.kind()) == (421, "misdirected")
    assert route.scopes == []


def test_refusals_have_the_security_headers() -> None:
    app = SecurityHeaders(gate(Route(), rate_limit=1.0, rate_burst=1))
    answers = [
        ask(app, host=b"evil.example"),
        ask(app, "POST", "/v1/patches"),
        ask(app, "POST", "/v1/patches"),
        ask(app, "POST", "/v1/patches", bearer(READER)),
    ]
    assert [answer.status for answer in answers] == [421, 401, 429, 403]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/patches"),
        ("PUT", f"{PATCHSET}/fog"),
        ("POST", "/v1/models/bundled/rollback"),
    ],
)
def test_publish_patch_and_roll_back_need_a_token_before_a_body_is_read(
    method: str, path: str
) -> None:
    """Case 24: `ask` fails when the body is read."""
    choices: tuple[dict[str, Any], ...] = ({}, {"predict_tokens": ""}, {"host": "0.0.0.0"})
    for values in choices:
        route = Route()
        assert ask(gate(route, **values), method, path).kind() == "unauthorized"
        assert route.scopes == []


@pytest.mark.parametrize(
    ("header", "closes"),
    [
        ((b"content-length", b"314572800"), True),
        ((b"transfer-encoding", b"chunked"), True),
        ((b"content-length", b"0"), False),
        ((b"accept", b"*/*"), False),
    ],
)
def test_a_body_that_is_refused_need_not_be_sent(header: tuple[bytes, bytes], closes: bool) -> None:
    answer = ask(gate(Route()), "POST", "/v1/patches", header)
    assert answer.status == 401
    assert answer.headers.get("connection") == ("close" if closes else None)


def test_a_gate_of_settings() -> None:
    settings = settings_of(
        rate_limit=1.0, rate_burst=1, open_metrics=False, cors_origins="http://a"
    )
    tokens = read_tokens(settings)
    app = Gate(Route(), settings, tokens, Access(settings, tokens))
    assert ask(app, "GET", "/metrics", bearer(READER)).status == 200
    assert ask(app, "GET", "/metrics", bearer(READER)).status == 429
    assert ask(app, "GET", "/metrics").status == 401
    assert ask(app, "OPTIONS", client=("192.0.2.2", 1)).status == 200
    assert ask(app, "GET", "/metrics", host=b"evil.example").status == 421


def test_websockets_are_closed_and_the_rest_passes() -> None:
    route = Route()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/docs", "headers": []}
    asyncio.run(gate(route)(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert route.scopes == []
    asyncio.run(gate(route)({"type": "lifespan"}, receive, send))
    assert route.scopes == [{"type": "lifespan"}]
