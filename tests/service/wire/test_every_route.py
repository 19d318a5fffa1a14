"""The gate in the app itself: no route of the OpenAPI document lies outside it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from rwsstore_service.app import create_app
from rwsstore_service.wire.gate import Need
from tests.service.wire.asking import READER, ask, bearer, settings_of

VALUES = {"{model}": "bundled", "{patch}": "fog", "{version}": "1", "{name}": "start.js"}
# What a query may ask for needs more than the route, or the operator may close it.
EXCEPTIONS: dict[tuple[str, str], Need] = {
    ("GET", "/v1/models/bundled/patchset"): "reader",  # ?verify=true is an admin's
    ("GET", "/metrics"): "nobody",  # unless RWS_OPEN_METRICS=false
}
HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(settings_of())  # not started: no refusal needs a model


def filled(template: str) -> str:
    return re.sub(r"{\w+}", lambda found: VALUES[found[0]], template)


def routes(app: FastAPI) -> Iterator[tuple[str, str, Need]]:
    """Method, path and what the table says, of every route that there is."""
    for route in iter_route_contexts(app.routes):
        path = filled(str(route.path))
        for method in sorted(route.methods or ()):
            yield method, path, app.state.access.need(method, path)


def documented(operation: dict[str, Any]) -> Need:
    """What a route says that it needs, by its answers."""
    if "403" in operation["responses"]:
        return "admin"
    return "reader" if "401" in operation["responses"] else "nobody"


def test_the_table_and_the_document_agree(app: FastAPI) -> None:
    """Every route has the role that it documents; those without a description are open."""
    document = app.openapi()["paths"]
    described = {
        (method.upper(), filled(path)): one
        for path, operations in document.items()
        for method, one in operations.items()
    }
    found = {(method, path): need for method, path, need in routes(app)}
    assert found.keys() >= described.keys()
    for row, need in found.items():
        if row in described:
            assert need == EXCEPTIONS.get(row, documented(described[row])), row
        else:
            assert need == "nobody", row
    assert list(found.values()).count("admin") >= 10


def test_what_is_open_to_everybody(app: FastAPI) -> None:
    nobody = {path for _, path, need in routes(app) if need == "nobody"}
    assert nobody == {
        "/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready",
        "/openapi.json", "/docs", "/docs/start.js",
    }  # fmt: skip


def test_without_a_token_every_other_route_is_401_with_its_body_unread(app: FastAPI) -> None:
    """Case 24."""
    for method, path, need in routes(app):
        if need != "nobody":
            answer = ask(app, method, path)
            assert (answer.status, answer.kind()) == (401, "unauthorized"), (method, path)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert answer.problem()["request_id"] == answer.headers["x-request-id"]


def test_with_a_readers_token_changes_are_403(app: FastAPI) -> None:
    for method, path, need in routes(app):
        if need == "admin":
            assert ask(app, method, path, bearer(READER)).kind() == "forbidden", (method, path)


def test_a_rebound_name_reaches_nothing(app: FastAPI) -> None:
    for method, path, _ in routes(app):
        if "health" not in path and path not in ("/livez", "/readyz"):
            answer = ask(app, method, path, host=b"evil.example:8000")
            assert answer.kind() == "misdirected", (method, path)
