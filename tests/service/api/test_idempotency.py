"""Changes that are sent again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from rwsstore.errors import StorageFullError
from rwsstore.store import Store
from tests.service.answering import MODEL, SET, bearer, problem, started, state
from tests.service.box import ADMIN
from tests.service.conftest import MakeClient

OTHER = "another-admin-token-for-tests"
ANY = {"If-Match": "*"}
CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", SET, {"patches": [{"patch": "fog"}]}),
    ("DELETE", SET, None),
    ("PUT", f"{SET}/snow", {"alpha": 0.5}),
    ("PATCH", f"{SET}/frost", {"alpha": 0.5}),
    ("DELETE", f"{SET}/frost", None),
    ("POST", f"{MODEL}/rollback", {"generation": 1}),
    ("POST", "/v1/compositions", {"name": "ours", "parts": [{"patch": "fog"}]}),
    ("DELETE", "/v1/patches/mine", None),
]


def send(client: TestClient, change: tuple[str, str, Any], key: str = "k", **more: str) -> Response:
    method, path, body = change
    return client.request(method, path, json=body, headers={"Idempotency-Key": key, **ANY, **more})


def prepare(client: TestClient) -> None:
    """Frost is on, and a patch named mine is stored."""
    client.put(f"{SET}/frost")
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "snow"}]})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """For tests with keys of their own."""
    with started(tmp_path_factory.mktemp("shared")) as client:
        yield client


@pytest.mark.parametrize("change", CHANGES, ids=[f"{one[0]} {one[1]}" for one in CHANGES])
def test_the_same_again_is_answered_as_the_first_time(
    shared: TestClient, change: tuple[str, str, Any]
) -> None:
    client, key = shared, f"k{CHANGES.index(change)}"
    prepare(client)
    first = send(client, change, key)
    assert first.is_success, first.text
    assert "idempotency-replayed" not in first.headers
    client.put(f"{SET}/brightness")  # what came between does not matter, and stays
    after, records = state(client), client.get("/v1/audit").json()
    again = send(client, change, key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    for name in ("etag", "location", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert state(client) == after
    assert client.get("/v1/audit").json() == records


def test_an_upload_again(client: TestClient) -> None:
    data = client.get("/v1/patches/fog/content").content
    headers = {"content-type": "application/octet-stream", "Idempotency-Key": "k"}
    first, again = (
        client.post("/v1/patches?name=mine", content=data, headers=headers) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["location"] == first.headers["location"]
    problem(
        client.post("/v1/patches?name=other", content=data, headers=headers), "idempotency-mismatch"
    )


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (("PUT", f"{SET}/fog", {"alpha": 0.6}), {}),
        (("PUT", f"{SET}/frost", {"alpha": 0.5}), {}),
        (("PATCH", f"{SET}/fog", {"alpha": 0.5}), {}),
        (("PUT", f"{SET}/fog", {"alpha": 0.5}), {"If-Match": '"2"'}),
        (("DELETE", SET, None), {}),
    ],
)
def test_another_request_under_the_key_is_refused(
    client: TestClient, change: tuple[str, str, Any], more: dict[str, str]
) -> None:
    send(client, ("PUT", f"{SET}/fog", {"alpha": 0.5}))
    before = state(client)
    problem(send(client, change, **more), "idempotency-mismatch")
    assert state(client) == before
    assert send(client, ("DELETE", SET, None), "other").is_success


def test_each_token_has_its_own_keys(make_client: MakeClient) -> None:
    client = make_client(admin_tokens=f"one:{ADMIN},two:{OTHER}")
    change = ("PUT", f"{SET}/fog", {"alpha": 0.5})
    first = send(client, change)
    client.delete(SET)
    second = send(client, change, **bearer(OTHER))
    assert "idempotency-replayed" not in second.headers
    assert second.json()["generation"] == first.json()["generation"] + 2
    assert send(client, change).content == first.content
    assert send(client, change, **bearer(OTHER)).content == second.content
    assert send(client, ("DELETE", SET, None), "theirs", **bearer(OTHER)).is_success


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    change = ("PUT", f"{SET}/fog", {"alpha": 0.5})
    with started(tmp_path) as client:
        first = send(client, change)
        client.delete(SET)
        after = state(client)
    with started(tmp_path) as client:
        again = send(client, change)
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
        assert state(client) == after


def test_what_changes_nothing_is_kept_too(client: TestClient) -> None:
    first = send(client, ("DELETE", SET, None))
    client.put(f"{SET}/fog")
    again = send(client, ("DELETE", SET, None))
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content


def test_what_was_refused_is_not_kept(client: TestClient) -> None:
    problem(send(client, ("PUT", f"{SET}/mine", None)), "unknown-patch")
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "fog"}]})
    assert send(client, ("PUT", f"{SET}/mine", None)).is_success
    problem(send(client, ("DELETE", f"{SET}/snow", None), "l"), "not-applied")
    assert send(client, ("DELETE", f"{SET}/mine", None), "l").is_success


def test_what_failed_is_not_kept(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 13: a full disk, then space."""
    journal = client.app.state.service.journal  # type: ignore[attr-defined]
    before, change = state(client), ("PUT", f"{SET}/fog", {"alpha": 0.5})

    def full(*_: object, **__: object) -> None:
        raise StorageFullError("no space left for the journal; nothing was changed")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", full)
        problem(send(client, change), "storage-full")
        assert state(client) == before
    again = send(client, change)
    assert again.is_success
    assert "idempotency-replayed" not in again.headers


def test_a_deletion_that_failed_is_not_answered_as_done(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(client)

    def full(*_: object, **__: object) -> None:
        raise StorageFullError("no space left for the store")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "remove", full)
        problem(send(client, ("DELETE", "/v1/patches/mine", None)), "storage-full")
    again = send(client, ("DELETE", "/v1/patches/mine", None))
    assert again.status_code == 204
    assert "idempotency-replayed" not in again.headers


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\x7f"])
def test_what_is_no_key(reading: TestClient, key: str) -> None:
    body = problem(send(reading, ("DELETE", SET, None), key), "invalid-request")
    assert body["errors"][0]["where"] == "header.Idempotency-Key"


def test_keys_that_can_be(client: TestClient) -> None:
    for key in ("!", "x" * 128, 'a"~;,'):
        assert send(client, ("DELETE", SET, None), key).is_success
