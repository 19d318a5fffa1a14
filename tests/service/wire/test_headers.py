import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from rwsstore_service.wire.limits import SecurityHeaders
from tests.service.wire.asking import Route, ask

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.mark.parametrize("path", ["/v1/models", "/docs", "/docs/swagger-ui.css", "/docsx", "/"])
def test_on_every_path(path: str) -> None:
    headers = ask(SecurityHeaders(Route()), "GET", path).headers
    assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE


@pytest.mark.parametrize(
    ("path", "docs"),
    [("/docs", True), ("/docs/x.js", True), ("/docsx", False), ("/v1/docs/", False), ("/", False)],
)
def test_only_the_documentation_may_load_anything(path: str, docs: bool) -> None:
    policy = ask(SecurityHeaders(Route()), "GET", path).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules.get("script-src") == ("'self'" if docs else None)
    assert rules.get("connect-src") == ("'self'" if docs else None)
    assert rules.get("style-src") == ("'self' 'unsafe-inline'" if docs else None)
    assert rules.get("img-src") == ("'self' data:" if docs else None)


def test_a_route_may_say_how_long_to_keep_its_answer_and_nothing_else() -> None:
    route = Route({"cache-control": "public, max-age=60", "x-frame-options": "ALLOWALL"})
    headers = ask(SecurityHeaders(route)).headers
    assert headers.getlist("cache-control") == ["public, max-age=60"]
    assert headers.getlist("x-frame-options") == ["DENY"]


def test_a_routes_own_headers_stay_and_are_in_small_letters() -> None:
    route = Route({"Cache-Control": "no-cache", "X-Frame-Options": "ALLOWALL", "ETag": '"7"'})
    headers = ask(SecurityHeaders(route)).headers
    assert [name for name, _ in headers.raw] == [name.lower() for name, _ in headers.raw]
    assert headers.getlist("x-frame-options") == ["DENY"]
    assert headers.getlist("cache-control") == ["no-cache"]
    assert headers["etag"] == '"7"'


def test_with_cors_other_origins_may_embed() -> None:
    headers = ask(SecurityHeaders(Route(), cors=True)).headers
    assert "cross-origin-resource-policy" not in headers


def test_what_is_not_http_passes_untouched() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "lifespan.startup.complete"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    scope = {"type": "lifespan"}
    asyncio.run(SecurityHeaders(app)(scope, receive, send))
    assert scopes == [scope]
    assert sent == [{"type": "lifespan.startup.complete"}]
