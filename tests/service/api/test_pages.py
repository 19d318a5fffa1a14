"""The API's own pages."""

import re

import pytest
from starlette.testclient import TestClient

from tests.service.answering import problem
from tests.service.conftest import MakeClient


def test_the_page_needs_nothing_from_elsewhere(reading: TestClient) -> None:
    page = reading.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 4
    for path in named:
        assert path.startswith("/")
        assert reading.get(path).is_success, path
    assert "<script>" not in page.text  # its policy refuses scripts in the page
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("favicon-32x32.png", "image/png"),
    ],
)
def test_its_files(reading: TestClient, name: str, kind: str) -> None:
    answer = reading.get(f"/docs/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert len(answer.content) > 500


@pytest.mark.parametrize(
    "name", ["index.html", "%2e%2e", "..%2f..%2fsettings.py", "LICENSE", "%00"]
)
def test_no_other_file_is_served(reading: TestClient, name: str) -> None:
    problem(reading.get(f"/docs/{name}"), "not-found")


def test_the_document_is_the_apps(reading: TestClient) -> None:
    document = reading.get("/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.json() == reading.app.openapi()  # type: ignore[attr-defined]


def test_pages_can_be_left_out(make_client: MakeClient) -> None:
    client = make_client(docs=False)
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        problem(client.get(path), "not-found")
