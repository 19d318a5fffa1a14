import json
import pickle
from typing import Any

import httpx
import pytest

import rwsstore_client
from rwsstore_client import (
    ApiError,
    Client,
    ConflictError,
    ConnectError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RequestTimeoutError,
    RwsClientError,
    ServiceError,
    StaleGenerationError,
    TooLargeError,
    UnauthorizedError,
    UnknownPatchError,
    UnsupportedMediaError,
    WrongModelError,
)
from rwsstore_service.wire.problems import PROBLEMS


def asked(answer: httpx.Response) -> ApiError:
    """The error that an answer becomes."""
    with (
        Client(retries=0, transport=httpx.MockTransport(lambda _: answer)) as rws,
        pytest.raises(ApiError) as raised,
    ):
        rws.models()
    return raised.value


def problem(kind: str, status: int, **members: Any) -> httpx.Response:
    body = {
        "type": f"urn:rwsstore:problem:{kind}", "title": "A title", "status": status,
        "detail": "what to do", "instance": "/v1/models", "request_id": "r-7", **members,
    }  # fmt: skip
    headers = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, content=json.dumps(body), headers=headers)


PLAIN = {"request-timeout", "misdirected"}  # said well enough by their detail

KINDS: dict[str, type[ApiError]] = {
    "unauthorized": UnauthorizedError,
    "forbidden": rwsstore_client.ForbiddenError,
    "not-found": NotFoundError,
    "unknown-patch": UnknownPatchError,
    "unknown-model": NotFoundError,
    "unknown-generation": NotFoundError,
    "not-applied": NotFoundError,
    "conflict": ConflictError,
    "duplicate-patch": rwsstore_client.DuplicatePatchError,
    "patch-in-use": rwsstore_client.PatchInUseError,
    "read-only": ConflictError,
    "other-model": ConflictError,
    "stale-generation": StaleGenerationError,
    "too-large": TooLargeError,
    "headers-too-large": TooLargeError,
    "unsupported-media": UnsupportedMediaError,
    "wrong-model": WrongModelError,
    "rate-limited": RateLimitedError,
    "internal": ServiceError,
    "deadline-exceeded": DeadlineError,
    "overloaded": OverloadedError,
    "unavailable": ServiceError,
    "integrity": ServiceError,
    "storage-full": ServiceError,
}


@pytest.mark.parametrize("name", sorted(set(PROBLEMS) - PLAIN))
def test_every_problem_of_the_service_has_its_error(name: str) -> None:
    error = asked(problem(name, PROBLEMS[name].status))
    assert type(error) is KINDS.get(name, InvalidRequestError)


def test_all_that_a_problem_says() -> None:
    answer = problem("stale-generation", 412, current_generation=9, odd=[1])
    answer.headers["Retry-After"] = "7"
    error = asked(answer)
    assert isinstance(error, StaleGenerationError)
    assert (error.status, error.title, error.detail) == (412, "A title", "what to do")
    assert (error.type, error.request_id) == ("urn:rwsstore:problem:stale-generation", "r-7")
    assert error.extra == {"current_generation": 9, "odd": [1], "instance": "/v1/models"}
    assert (error.current_generation, error.retry_after) == (9, 7.0)
    assert str(error) == "what to do (HTTP 412, request r-7)"
    assert isinstance(error, RwsClientError)


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        (httpx.Response(503, text="<h1>Busy</h1>"), OverloadedError, "Service Unavailable"),
        (httpx.Response(502), ServiceError, "Bad Gateway"),
        (httpx.Response(504), ServiceError, "Gateway Timeout"),
        (httpx.Response(418), ApiError, "I'm a teapot"),
        (httpx.Response(599), ServiceError, "the service refused"),
        (
            httpx.Response(404, json=[1]),
            NotFoundError,
            "Not Found, and not in the words of a rwsstore service: is this its URL?",
        ),
        (httpx.Response(400, json={"detail": [{"msg": "x"}]}), InvalidRequestError, "Bad Request"),
        (problem("brand-new", 422), InvalidRequestError, "what to do"),
        (
            httpx.Response(
                500, content=b"{", headers={"Content-Type": "application/json"}
            ),
            ServiceError,
            "Internal Server Error",
        ),
    ],
)  # fmt: skip
def test_answers_of_others_become_errors_too(
    answer: httpx.Response, kind: type[ApiError], detail: str
) -> None:
    error = asked(answer)
    assert (type(error), error.detail) == (kind, detail)


def test_the_id_of_the_header_where_the_body_has_none() -> None:
    assert asked(httpx.Response(500, headers={"X-Request-ID": "r-9"})).request_id == "r-9"


def test_a_date_to_come_again_is_not_read() -> None:
    headers = {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}
    assert asked(httpx.Response(503, headers=headers)).retry_after is None


def test_errors_are_the_fitting_builtins() -> None:
    pairs = [
        (InvalidRequestError, ValueError), (NotFoundError, LookupError),
        (ConnectError, ConnectionError), (RequestTimeoutError, TimeoutError),
        (DeadlineError, TimeoutError),
    ]  # fmt: skip
    assert all(issubclass(error, builtin) for error, builtin in pairs)
    names = [name for name in rwsstore_client.__all__ if name.endswith("Error")]
    assert all(issubclass(getattr(rwsstore_client, name), RwsClientError) for name in names)


def test_errors_travel_between_processes() -> None:
    error = asked(problem("stale-generation", 412, current_generation=9))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.extra) == (type(error), str(error), error.extra)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (httpx.ConnectError("refused"), ConnectError),
        (httpx.ConnectTimeout("slow"), ConnectError),
        (httpx.ReadError(""), ConnectError),
        (httpx.RemoteProtocolError("Server disconnected"), ConnectError),
        (httpx.ReadTimeout("slow"), RequestTimeoutError),
        (httpx.WriteTimeout("slow"), RequestTimeoutError),
        (httpx.PoolTimeout("slow"), RequestTimeoutError),
    ],
)
def test_faults_of_the_network(fault: Exception, kind: type[RwsClientError]) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise fault

    with (
        Client("http://edge-box:8000", retries=0, transport=httpx.MockTransport(fail)) as rws,
        pytest.raises(kind, match="http://edge-box:8000") as raised,
    ):
        rws.models()
    assert raised.value.__cause__ is fault
