"""The active patch set, whole and step by step."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_store
from rwsstore.patches import PatchSet
from rwsstore.runtime.variant import state_digest
from tests.service.answering import (
    JSON,
    MODEL,
    SET,
    bearer,
    picture,
    predict,
    problem,
    started,
    state,
)
from tests.service.box import PREDICT
from tests.service.conftest import MakeClient

ANY = {"If-Match": "*"}
TWO = {"patches": [{"patch": "fog", "alpha": 0.6}, {"patch": "frost", "alpha": 0.4}]}


def on(client: TestClient) -> dict[str, float]:
    return {one["patch"]: one["alpha"] for one in client.get(SET).json()["patches"]}


def test_the_first_is_the_clean_model(reading: TestClient) -> None:
    answer = reading.get(SET)
    body = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert (body["generation"], body["patches"], body["resolved"]) == (1, [], [])
    weights = reading.get(MODEL).json()["fingerprint"]["weights"]
    assert body["state_digest"] == state_digest(weights, PatchSet())


def test_a_set_is_replaced_whole(client: TestClient) -> None:
    answer = client.put(SET, json=TWO, headers={"If-Match": '"1"'})
    body = answer.json()
    assert (answer.status_code, answer.headers["etag"], body["generation"]) == (200, '"2"', 2)
    assert body == client.get(SET).json()
    assert on(client) == {"fog": 0.6, "frost": 0.4}
    weights = client.get(MODEL).json()["fingerprint"]["weights"]
    parts = tuple((one["digest"], one["alpha"]) for one in body["resolved"])
    assert body["state_digest"] == state_digest(weights, PatchSet(parts))
    assert predict(client, picture())["state_digest"] == body["state_digest"]
    client.put(SET, json={"patches": [{"patch": "snow"}]}, headers={"If-Match": '"2"'})
    assert list(on(client)) == ["snow"]
    client.put(SET, json={"patches": []}, headers=ANY)
    assert on(client) == {}


def test_replacing_needs_to_say_what(client: TestClient) -> None:
    before = state(client)
    body = problem(client.put(SET, json=TWO), "precondition-required")
    assert "If-Match" in body["detail"]
    assert state(client) == before


@pytest.mark.parametrize("header", ['"1"', "1", "*", ' "1" ', '"7", "1"', "7,1"])
def test_forms_of_if_match_that_match(client: TestClient, header: str) -> None:
    assert client.put(SET, json=TWO, headers={"If-Match": header}).status_code == 200


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Its active generation is 3, and 1 is a number of before."""
    with started(tmp_path_factory.mktemp("third")) as client:
        client.put(f"{SET}/snow")
        client.delete(SET)
        yield client


@pytest.mark.parametrize(
    "header",
    [
        'W/"3"',
        'W/"1", W/"3"',
        '"2"',
        '"0"',
        '"7", "8"',
        "",
        '""',
        "garbage",
        '"one"',
        "-1",
        "1.0",
        '"1',
        "9" * 30,
    ],
)
@pytest.mark.parametrize("how", ["PUT", "DELETE"])
def test_forms_of_if_match_that_do_not(third: TestClient, header: str, how: str) -> None:
    before = state(third)
    answer = third.request(
        how, SET, json=TWO if how == "PUT" else None, headers={"If-Match": header}
    )
    body = problem(answer, "stale-generation")
    assert body["current_generation"] == 3
    assert "3 is active" in body["detail"]
    assert state(third) == before


def test_an_if_match_that_goes_on_for_ever(reading: TestClient) -> None:
    answer = reading.put(SET, json=TWO, headers={"If-Match": '"1", ' * 100})
    problem(answer, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"{SET}/frost", {}),
        ("PATCH", f"{SET}/fog", {"alpha": 0.1}),
        ("DELETE", f"{SET}/fog", None),
        ("DELETE", SET, None),
        ("POST", f"{MODEL}/rollback", {"generation": 1}),
    ],
)
def test_every_step_may_say_what_it_saw(
    client: TestClient, method: str, path: str, body: Any
) -> None:
    client.put(f"{SET}/fog")
    before = state(client)
    answer = client.request(method, path, json=body, headers={"If-Match": '"1"'})
    assert problem(answer, "stale-generation")["current_generation"] == 2
    assert state(client) == before
    answer = client.request(method, path, json=body, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')


def test_one_patch_on_stronger_and_off(client: TestClient) -> None:
    clean = state(client)[1]
    assert client.put(f"{SET}/fog").status_code == 200
    assert client.put(f"{SET}/frost", json={"alpha": 0.5}).json()["generation"] == 3
    assert on(client) == {"fog": 1.0, "frost": 0.5}
    assert client.patch(f"{SET}/fog", json={"alpha": 0.25}).status_code == 200
    assert on(client) == {"fog": 0.25, "frost": 0.5}
    assert client.put(f"{SET}/fog", json={"alpha": 0.75}).status_code == 200
    assert on(client) == {"frost": 0.5, "fog": 0.75}
    assert client.delete(f"{SET}/fog").status_code == 200
    assert client.delete(f"{SET}/frost").status_code == 200
    assert state(client) == (7, clean)


@pytest.mark.parametrize("body", ["", "{}", "null", '{"alpha": null}', '{"ta_loss": null}'])
def test_without_a_strength_it_is_the_recommended_one(client: TestClient, body: str) -> None:
    answer = client.put(f"{SET}/fog", content=body, headers=JSON if body else {})
    assert answer.status_code == 200
    assert on(client) == {"fog": client.get("/v1/patches/fog").json()["alpha"]}


@pytest.mark.parametrize("loss", [0.0, 1.0, 5.0, 100.0])
def test_a_strength_by_what_it_may_cost(client: TestClient, loss: float) -> None:
    store = bundled_store()
    expected = store.get(store.resolve("fog")).alpha_for(loss)
    assert client.put(f"{SET}/fog", json={"ta_loss": loss}).status_code == 200
    assert on(client) == ({"fog": expected} if expected else {})


def test_a_strength_of_nothing_takes_it_off(client: TestClient) -> None:
    client.put(f"{SET}/fog")
    assert client.put(f"{SET}/fog", json={"alpha": 0}).json()["patches"] == []
    client.put(f"{SET}/fog")
    assert client.patch(f"{SET}/fog", json={"alpha": -0.0}).json()["patches"] == []


def test_both_strengths_are_one_too_many(reading: TestClient) -> None:
    answer = reading.put(f"{SET}/fog", json={"alpha": 1, "ta_loss": 1})
    assert "not both" in problem(answer, "invalid-request")["detail"]


def test_a_patch_by_its_digest_or_version_is_that_patch(client: TestClient) -> None:
    digest = client.get("/v1/patches/fog").json()["digest"]
    client.put(f"{SET}/fog")
    client.put(f"{SET}/{digest[:10]}", json={"alpha": 0.5})
    assert list(on(client).values()) == [0.5]
    assert client.patch(f"{SET}/fog@1", json={"alpha": 0.25}).status_code == 200
    assert client.delete(f"{SET}/{digest}").json()["patches"] == []


def test_scaling_keeps_the_very_patch(client: TestClient) -> None:
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "fog"}]})
    then = client.put(f"{SET}/mine").json()["patches"][0]["digest"]
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "frost"}]})
    now = client.patch(f"{SET}/mine", json={"alpha": 0.5}).json()["patches"]
    assert [(one["digest"], one["alpha"]) for one in now] == [(then, 0.5)]


@pytest.mark.parametrize("patch", ["frost", "smog", "frost@9"])
def test_what_is_not_on(client: TestClient, patch: str) -> None:
    client.put(f"{SET}/fog")
    before = state(client)
    for answer in (
        client.patch(f"{SET}/{patch}", json={"alpha": 1}),
        client.delete(f"{SET}/{patch}"),
    ):
        assert "fog" in problem(answer, "not-applied")["detail"]
    assert state(client) == before


def test_a_patch_that_is_not_there(client: TestClient) -> None:
    problem(client.put(f"{SET}/smog"), "unknown-patch")
    body = {"patches": [{"patch": "fog"}, {"patch": "smog"}]}
    problem(client.put(SET, json=body, headers=ANY), "unknown-patch")
    assert on(client) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"patches": [{"patch": "fog"}, {"patch": "fog"}]},
        {"patches": [{"patch": "fog"}, {"patch": "fog@1"}]},
        {"patches": [{"patch": "fog", "alpha": 2.5}]},
        {"patches": [{"alpha": 1}]},
        {"patches": {"fog": 1}},
        {"patches": [{"patch": "fog", "strength": 1}]},
        {"patches": [{"patch": "fog"}] * 1001},
        {},
        {"patches": None},
    ],
)
def test_sets_that_are_refused(reading: TestClient, body: Any) -> None:
    problem(reading.put(SET, json=body, headers=ANY), "invalid-request")
    assert on(reading) == {}


def test_a_body_of_another_kind(reading: TestClient) -> None:
    for kind in ("text/plain", "", "application/x-www-form-urlencoded", "application/xml"):
        answer = reading.put(f"{SET}/fog", content=b'{"alpha": 1}', headers={"content-type": kind})
        assert "application/json" in problem(answer, "unsupported-media")["detail"]
    assert on(reading) == {}


def test_weights_in_memory_are_compared_with_a_fresh_build(client: TestClient) -> None:
    client.put(f"{SET}/fog")
    answer = client.get(f"{SET}?verify=true")
    body = answer.json()
    assert (body["ok"], body["problems"]) == (True, [])
    assert body["state_digest"] == state(client)[1]
    assert answer.headers["etag"] == '"2"'
    variant = client.app.state.service.host.active.variant  # type: ignore[attr-defined]
    next(iter(variant.state().values())).view(-1)[0] += 1
    body = client.get(f"{SET}?verify=true").json()
    assert not body["ok"]
    assert body["problems"]


def test_comparing_is_for_admins(make_client: MakeClient) -> None:
    client = make_client(token=None, predict_tokens=f"camera:{PREDICT}")
    assert client.get(SET, headers=bearer(PREDICT)).is_success
    problem(client.get(f"{SET}?verify=true", headers=bearer(PREDICT)), "forbidden")
    problem(client.get(f"{SET}?verify=true"), "unauthorized")
