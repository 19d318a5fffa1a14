"""Every route of the app with hostile input in every place: cases 7, 9, 18 and 24.

The routes are taken from the app, so that a new one is walked by itself. Whatever comes, the
answer is the route's own or a problem, never a 5xx; and afterwards the active patch set, its
weights and the store are what they were.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_store
from rwsstore.store import Store
from rwsstore_service import Settings, create_app
from rwsstore_service.api.description.openapi import operations
from rwsstore_service.wire.problems import PROBLEMS
from tests.service.answering import SET, picture, started
from tests.service.hostile import (
    BODIES,
    EMPTY,
    HEADER_VALUES,
    HEADERS,
    NAMES,
    SCALARS,
    VALUES,
    Answer,
    Body,
    ask,
    encoded,
    replaced,
)

NORMAL = {"model": "bundled", "patch": "fog", "version": "1", "name": "start.js"}
PREDICT, UPLOAD = "/v1/models/{model}/predict", "/v1/patches"
INFER = {
    "inputs": [
        {"name": "images", "shape": [1, 3, 32, 32], "datatype": "UINT8", "data": [7] * 3072}
    ],
    "outputs": [{"name": "labels"}],
    "parameters": {"patchset": "fog=0.6"},
}
STALE = b'"999999"'


@dataclass(frozen=True)
class Way:
    """One route with one of its methods.

    Attributes:
        method: of the request.
        template: of the path.
        operation: what OpenAPI says of it; nothing where it is not described.
    """

    method: str
    template: str
    operation: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **values: str) -> str:
        return self.template.format(**{**NORMAL, **values})

    @property
    def names(self) -> list[str]:
        """What stands in the path."""
        return re.findall(r"\{(\w+)\}", self.template)

    @property
    def queries(self) -> list[str]:
        parameters = self.operation.get("parameters", [])
        return [one["name"] for one in parameters if one["in"] == "query"] + ["unknown"]

    @property
    def takes_json(self) -> bool:
        return "application/json" in self.operation.get("requestBody", {}).get("content", {})

    @property
    def example(self) -> Any:
        """A JSON body that is right; storing does not get through, for its version is not so."""
        content = self.operation["requestBody"]["content"]["application/json"]
        if self.template.endswith("/infer"):
            return INFER
        if "examples" not in content:
            return content["example"]
        value = next(iter(content["examples"].values()))["value"]
        return value | {"expected_version": 7} if "compositions" in self.template else value

    @property
    def normal(self) -> Body | None:
        """A body that is right, or for an upload nearly so."""
        if self.template == PREDICT:
            return Body("image/png", picture())
        if self.takes_json:
            return Body("application/json", json.dumps(self.example).encode())
        return Body("application/octet-stream", b"\0" * 8) if self.template == UPLOAD else None


def ways() -> list[Way]:
    app = create_app(Settings.model_construct())
    described = {(path, verb): one for path, verb, one in operations(app.openapi())}
    return [
        Way(method, str(route.path), described.get((str(route.path), method.lower()), {}))
        for route in iter_route_contexts(app.routes)
        for method in sorted(route.methods or ())
    ]


WAYS = ways()
CHANGING = {"PUT", "PATCH", "POST", "DELETE"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An app with two patches on; what it is at the end is compared with what it was."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    with started(folder) as client:
        for patch, alpha in (("frost", 0.5), ("snow", 0.25)):
            client.put(f"{SET}/{patch}", json={"alpha": alpha})
        before = client.get(SET).json()
        yield client
        assert client.get(SET).json() == before
        assert client.get(f"{SET}?verify=true").json()["ok"]
        assert client.get("/readyz").is_success
    report = Store(folder / "store", base=bundled_store()).fsck()
    assert report.clean, report


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} in an answer")


def check(answer: Answer, way: Way, what: object, *, refused: bool = False) -> None:
    """One shape, and nothing of what was sent come back at length or to be run."""
    said = (str(way), str(what)[:200], answer.status, answer.body[:500])
    assert answer.status < 500, said
    assert not refused or answer.status >= 400, said
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"]), said
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.status < 400:
        return
    assert answer.headers.getlist("content-type") == ["application/problem+json"], said
    assert len(answer.body) < 10_000, said
    if way.method == "HEAD":
        return
    body = json.loads(answer.body, parse_constant=refuse)
    kind = PROBLEMS[body["type"].removeprefix("urn:rwsstore:problem:")]
    assert (body["status"], body["title"]) == (answer.status, kind.title), said
    assert kind.status == answer.status
    assert {"detail", "instance", "request_id"} <= set(body), said
    assert body["detail"].isprintable(), said


def of(ways: list[Way]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=str)


# HEAD is its GET, and /v2/models/M/versions/V is /v2/models/M, once the path is read: the same
# function with the same parameters.
APART = [way for way in WAYS if way.method != "HEAD" and "{version}" not in way.template]


def test_there_is_something_to_walk() -> None:
    assert len(WAYS) >= 33
    assert {way.method for way in WAYS} >= {*CHANGING, "GET"}


@of(WAYS)
def test_the_right_request_is_answered(client: TestClient, way: Way) -> None:
    """Otherwise the walk would not come far."""
    answer = ask(client, way.method, way.path(), way.normal, if_match=STALE)
    check(answer, way, "as it should be")
    assert answer.status in (200, 404, 409, 412, 422), answer.body
    if way.method == "GET" or way.template.endswith(("/predict", "/infer", "/index")):
        assert answer.status == 200, answer.body


@of(WAYS)
def test_paths(client: TestClient, way: Way) -> None:
    for place in way.names:
        for name in NAMES:
            for segment in {encoded(name), name} if name in ("..", ".") else {encoded(name)}:
                target = way.path(**{place: segment})
                check(ask(client, way.method, target, way.normal), way, target, refused=True)


@of(APART)
def test_queries(client: TestClient, way: Way) -> None:
    for place in way.queries:
        for value in (*NAMES, *SCALARS):
            target = f"{way.path()}?{place}={encoded(value)}"
            answer = ask(client, way.method, target, way.normal, if_match=STALE)
            strict = place == "unknown" and way.template.startswith("/v1")
            check(answer, way, target, refused=strict)
    for query in ("%", "%zz", "&&&=", "a[b]=1", "=", "%ff=%fe", "x=1&" * 2000, "limit=1&limit=x"):
        target = f"{way.path()}?{query}"
        check(ask(client, way.method, target, way.normal, if_match=STALE), way, target)


@of(APART)
def test_headers(client: TestClient, way: Way) -> None:
    for place in HEADERS:
        for value in HEADER_VALUES:
            sent = {"if-match": STALE, place: value}
            headers = {name.replace("-", "_"): one for name, one in sent.items()}
            answer = ask(client, way.method, way.path(), way.normal, **headers)
            check(answer, way, (place, value))


@of(APART)
def test_bodies_of_every_kind(client: TestClient, way: Way) -> None:
    for body in BODIES:
        answer = ask(client, way.method, way.path(), body, if_match=STALE)
        check(answer, way, (body.media, body.data[:80]))


JSON_WAYS = [way for way in APART if way.takes_json]


@of(JSON_WAYS)
def test_every_place_of_a_json_body(client: TestClient, way: Way) -> None:
    """Case 18 and beyond; If-Match would let it through."""
    infers = way.template.startswith("/v2")
    for value in VALUES:
        for data in replaced(way.example, value):
            answer = ask(
                client, way.method, way.path(), Body("application/json", data), if_match=b"*"
            )
            # An id or a truth may be among them, and predicting changes nothing.
            check(answer, way, data, refused=not infers)
    for value in EMPTY:
        for data in replaced(way.example, value):
            body = Body("application/json", data)
            check(ask(client, way.method, way.path(), body, if_match=STALE), way, data)


@of(JSON_WAYS)
def test_a_name_that_stands_twice(client: TestClient, way: Way) -> None:
    text = json.dumps(way.example)
    twice = f"{text[:-1]}, {text[1:]}".encode()
    answer = ask(client, way.method, way.path(), Body("application/json", twice), if_match=b"*")
    check(answer, way, "twice", refused=True)
    assert answer.status == 400


@of(WAYS)
def test_methods_that_are_not_there(client: TestClient, way: Way) -> None:
    known = {other.method for other in WAYS if other.template == way.template}
    for method in {"GET", "HEAD", *CHANGING, "OPTIONS", "TRACE", "CONNECT", "FOO", "get"} - known:
        answer = ask(client, method, way.path(), if_match=STALE)
        check(answer, Way(method, way.template, {}), method)
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == known


NOWHERE = (
    *("/", "//", "/v1", "/v1/", "/v2/", "/livez/", "/v1//models", "/.env", "/docs/", "/metrics/x"),
    *("/v1/models/bundled/patchset/", "/v1/models/bundled/patchset/fog/", "/" + "a/" * 5000),
    *("/v1/models/bundled/../bundled", "/%2e%2e/%2e%2e/etc/passwd", "/%ff%fe", "/%00"),
)


@pytest.mark.parametrize("target", NOWHERE, ids=lambda target: target[:40])
def test_paths_that_are_nowhere(client: TestClient, target: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = ask(client, method, target, if_match=STALE)
        check(answer, Way(method, target, {}), target, refused=True)
        assert answer.status == 404
