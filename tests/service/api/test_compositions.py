"""Patches composed into a stored one."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.service.answering import SET, picture, predict, problem

PARTS = [{"patch": "fog", "alpha": 0.6}, {"patch": "gaussian_noise", "alpha": 0.4}]


def compose(client: TestClient, name: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return client.post("/v1/compositions", json={"name": name, "parts": parts, **more})


def test_it_is_stored_with_its_parts(client: TestClient) -> None:
    answer = compose(client, "foggy_night", PARTS)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/patches/foggy_night@1"
    body = answer.json()
    assert body["kind"] == "composed"
    assert {(part["name"], part["alpha"]) for part in body["parts"]} == {
        ("fog", 0.6), ("gaussian_noise", 0.4),
    }  # fmt: skip
    assert client.get("/v1/patches/foggy_night").json() == body
    assert client.get("/v1/patches?kind=composed").json()["patches"] == [body]


def test_it_equals_its_parts_to_the_bit(client: TestClient) -> None:
    compose(client, "foggy_night", PARTS)
    whole = predict(client, picture(), "?patchset=foggy_night")
    parts = predict(client, picture(), "?patchset=fog=0.6,gaussian_noise=0.4")
    assert whole["state_digest"] == parts["state_digest"]
    assert whole["predictions"] == parts["predictions"]
    client.put(f"{SET}/foggy_night")
    assert client.get(SET).json()["state_digest"] == whole["state_digest"]


def test_strengths_by_cost_and_by_recommendation(client: TestClient) -> None:
    parts: list[dict[str, Any]] = [{"patch": "fog", "ta_loss": 1.0}, {"patch": "frost"}]
    found = {one["name"]: one["alpha"] for one in compose(client, "mine", parts).json()["parts"]}
    assert 0 < found["fog"] < 1
    assert found["frost"] == client.get("/v1/patches/frost").json()["alpha"]


def test_the_same_again_and_a_version_that_has_moved_on(client: TestClient) -> None:
    compose(client, "mine", PARTS)
    body = problem(compose(client, "mine", PARTS), "duplicate-patch")
    assert (body["name"], body["version"]) == ("mine", 1)
    problem(compose(client, "mine", PARTS[:1], expected_version=0), "conflict")
    answer = compose(client, "mine", PARTS[:1], expected_version=1)
    assert answer.headers["location"] == "/v1/patches/mine@2"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("..", PARTS),
        ("a" * 65, PARTS),
        ("none", PARTS),
        ("active", PARTS),
        ("abcdef0123", PARTS),
        ("mine", []),
        ("mine", [{"patch": "fog", "alpha": 0}]),
        ("mine", [{"patch": "fog"}, {"patch": "fog@1"}]),
        ("mine", [{"patch": "fog", "alpha": 1e5}]),
        ("mine", [{"patch": "fog", "alpha": 1, "ta_loss": 1}]),
        ("mine", [{"alpha": 1}]),
        ("mine", PARTS * 501),
    ],
)
def test_what_is_refused(reading: TestClient, name: str, parts: list[dict[str, Any]]) -> None:
    problem(compose(reading, name, parts), "invalid-request")
    assert reading.get("/v1/patches").json()["total"] == 22


def test_a_part_that_is_not_there(reading: TestClient) -> None:
    problem(compose(reading, "mine", [{"patch": "smog"}]), "unknown-patch")
