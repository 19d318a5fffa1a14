"""Errors that leave a route, and what has no route."""

from typing import Annotated

import pytest
from fastapi import Body, FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from rwsstore.errors import UnknownPatchError
from rwsstore_service.api.contract import Alpha, Request
from rwsstore_service.api.faults import add_handlers
from rwsstore_service.wire.problems import ProblemError
from tests.service.answering import JSON, MODEL, SET, problem


class Wanted(Request):
    alpha: Alpha
    names: tuple[str, ...] = ()


def app() -> FastAPI:
    """Routes that fail in one way each."""
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @made.get("/problem")
    def of_the_service() -> None:
        raise ProblemError("overloaded", "too much", headers={"Retry-After": "3"}, more=1)

    @made.get("/library")
    def of_the_library() -> None:
        raise UnknownPatchError("no patch named 'smog' in the store.")

    @made.get("/http/{status}")
    def of_starlette(status: int) -> None:
        raise HTTPException(status, "said by somebody", headers={"X-Mine": "1"})

    @made.post("/body")
    def with_a_body(wanted: Annotated[Wanted, Body()]) -> float:
        return wanted.alpha

    @made.put("/body")
    def another_method() -> None:
        """For its method."""

    add_handlers(made)
    return made


@pytest.fixture(scope="module")
def failing() -> TestClient:
    return TestClient(app())


def test_a_problem_is_sent_as_it_is(failing: TestClient) -> None:
    answer = failing.get("/problem")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "more": 1,
        "type": "urn:rwsstore:problem:overloaded",
        "title": "The service is busy",
        "status": 503,
        "detail": "too much",
        "instance": "/problem",
        "request_id": "",
    }


def test_the_librarys_errors(failing: TestClient) -> None:
    answer = failing.get("/library")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "no patch named 'smog' in the store.",
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "bad-request"), (413, "too-large"), (415, "unsupported-media"), (418, "bad-request")],
)
def test_starlettes_errors(failing: TestClient, status: int, kind: str) -> None:
    answer = failing.get(f"/http/{status}")
    assert answer.json()["type"].endswith(f":{kind}")
    assert answer.json()["detail"] == "said by somebody"
    assert answer.headers["x-mine"] == "1"


@pytest.mark.parametrize(
    ("body", "where", "message"),
    [
        ('{"alpha": NaN}', "body.alpha", "Input should be a finite number"),
        ('{"alpha": 1e400}', "body.alpha", "Input should be a finite number"),
        ('{"alpha": "nan"}', "body.alpha", "Input should be a valid number"),
        ('{"alpha": true}', "body.alpha", "Input should be a valid number"),
        ('{"alpha": 1e30}', "body.alpha", "Input should be less than or equal to 1000000"),
        ('{"alpha": 1, "beta\\u0000": 1}', "body.beta\\x00", "nothing of this name is known"),
        ('{"alpha": 1, "names": 1}', "body.names", "expected a list"),
        ("[1]", "body", "expected an object"),
        ("{}", "body.alpha", "Field required"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_not_echoed(
    failing: TestClient, body: str, where: str, message: str
) -> None:
    """Case 18: FastAPI's own handler echoes the NaN and fails over it."""
    answer = failing.post("/body", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {"where": where, "message": message}
    assert answer.json()["detail"] == f"{where}: {message}"
    assert "input" not in answer.text.lower().replace("input should", "")


def test_of_many_faults_some_are_told(failing: TestClient) -> None:
    body = {"alpha": 1, **{f"x{number}": 1 for number in range(1000)}}
    answer = failing.post("/body", json=body)
    assert len(answer.json()["errors"]) == 20
    assert len(answer.content) < 5000


def test_long_and_strange_names_are_shortened(failing: TestClient) -> None:
    answer = failing.post("/body", json={"alpha": 1, "\u202e" + "x" * 100_000: 1})
    assert answer.status_code == 422
    assert len(answer.content) < 2000
    assert "\u202e" not in answer.text


def test_what_is_not_there(failing: TestClient) -> None:
    answer = failing.get("/nothing/%0a%e2%80%ae")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:rwsstore:problem:not-found"
    assert "\u202e" not in answer.text


def test_methods_of_every_route_at_a_path_are_told(failing: TestClient) -> None:
    answer = failing.delete("/body")
    assert answer.json()["type"] == "urn:rwsstore:problem:method-not-allowed"
    assert answer.headers["allow"] == "POST, PUT"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (SET, "DELETE, GET, PUT"),
        (f"{SET}/fog", "DELETE, PATCH, PUT"),
        ("/v1/patches", "GET, POST"),
        (f"{MODEL}/predict", "POST"),
        ("/v2", "GET"),
        ("/livez", "GET"),
    ],
)
def test_methods_of_the_service(client: TestClient, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "TRACE", "PROPFIND"):
        answer = client.request(method, path)
        problem(answer, "method-not-allowed")
        assert answer.headers["allow"] == allowed
    assert client.head(path).headers["allow"] == allowed


def test_what_nobody_foresaw_is_not_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(client.app.state.service.library, "describe", fail)  # type: ignore[attr-defined]
    answer = client.get("/v1/patches/fog")
    problem(answer, "internal")
    assert "secret" not in answer.text
    assert "Zero" not in answer.text
