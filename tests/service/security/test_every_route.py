"""The gate in the app itself: no route of the OpenAPI document lies outside it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from rwsstore_service.app import create_app
from rwsstore_service.wire.gate import needed_role
from tests.service.security.asking import READER, ask, bearer, settings_of

VALUES = {"{model}": "bundled", "{patch}": "fog", "{version}": "1"}
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


def routes(app: FastAPI) -> Iterator[tuple[str, str, bool]]:
    """Method, path, and whether it is said to answer 403."""
    for template, operations in app.openapi()["paths"].items():
        path = template
        for name, value in VALUES.items():
            path = path.replace(name, value)
        for method, operation in operations.items():
            yield method.upper(), path, "403" in operation["responses"]


def test_the_table_and_the_document_agree(app: FastAPI) -> None:
    admins = {(m, p) for m, p, forbids in routes(app) if forbids}
    # Reading the patch set is a reader's; that with ?verify=true is an admin's.
    admins -= {("GET", "/v1/models/bundled/patchset")}
    assert {(m, p) for m, p, _ in routes(app) if needed_role(m, p) == "admin"} == admins
    assert len(admins) >= 10
    nobody = {p for m, p, _ in routes(app) if needed_role(m, p) == "nobody"}
    assert nobody == {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}


def test_without_a_token_every_other_route_is_401_with_its_body_unread(app: FastAPI) -> None:
    """Case 24."""
    for method, path, _ in routes(app):
        if needed_role(method, path) != "nobody":
            answer = ask(app, method, path)
            assert (answer.status, answer.kind()) == (401, "unauthorized"), (method, path)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert answer.problem()["request_id"] == answer.headers["x-request-id"]


def test_with_a_readers_token_changes_are_403(app: FastAPI) -> None:
    for method, path, _ in routes(app):
        if needed_role(method, path) == "admin":
            assert ask(app, method, path, bearer(READER)).kind() == "forbidden", (method, path)


def test_a_rebound_name_reaches_nothing(app: FastAPI) -> None:
    for method, path, _ in routes(app):
        if "health" not in path and path not in ("/livez", "/readyz"):
            answer = ask(app, method, path, host=b"evil.example:8000")
            assert answer.kind() == "misdirected", (method, path)
