"""Generations, the way back, and the audit log."""

from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from tests.service.answering import MODEL, SET, bearer, problem
from tests.service.box import PREDICT
from tests.service.conftest import MakeClient

HISTORY, ROLLBACK = f"{MODEL}/history", f"{MODEL}/rollback"


def test_it_begins_with_the_clean_model(reading: TestClient) -> None:
    (first,) = reading.get(HISTORY).json()["generations"]
    assert (first["generation"], first["action"], first["actor"]) == (1, "start", "service")
    assert first["patches"] == []


def test_every_change_is_a_line(client: TestClient) -> None:
    sent = {"X-Request-ID": "mine.1"}
    client.put(f"{SET}/fog", headers=sent)
    client.patch(f"{SET}/fog", json={"alpha": 0.5})
    client.delete(f"{SET}/fog")
    client.put(SET, json={"patches": [{"patch": "frost"}]}, headers={"If-Match": "*"})
    client.delete(SET)
    client.post(ROLLBACK, json={"generation": 2})
    body = client.get(HISTORY).json()
    lines = body["generations"]
    assert [line["generation"] for line in lines] == [7, 6, 5, 4, 3, 2, 1]
    assert [line["action"] for line in lines] == [
        "rollback", "clear", "replace", "remove", "scale", "apply", "start",
    ]  # fmt: skip
    assert body["next_before"] is None
    assert lines[0]["rolled_back_to"] == 2
    assert lines[0]["state_digest"] == lines[5]["state_digest"]
    for newer, older in pairwise(lines):
        assert newer["previous_state_digest"] == older["state_digest"]
    assert (lines[5]["request_id"], lines[5]["actor"]) == ("mine.1", "operator")
    assert lines[5]["address"]


def test_a_change_that_changes_nothing_is_no_line(client: TestClient) -> None:
    first = client.put(f"{SET}/fog", json={"alpha": 0.5})
    again = client.put(f"{SET}/fog", json={"alpha": 0.5})
    assert first.json() == again.json()
    assert len(client.get(HISTORY).json()["generations"]) == 2


def test_pages_make_the_history(client: TestClient) -> None:
    for step in range(6):
        client.put(f"{SET}/fog", json={"alpha": 0.1 * (step + 1)})
    numbers, query, pages = [], "", 0
    while True:
        page = client.get(f"{HISTORY}?limit=3{query}").json()
        numbers += [line["generation"] for line in page["generations"]]
        pages += 1
        if page["next_before"] is None:
            break
        query = f"&before={page['next_before']}"
    assert (numbers, pages) == ([7, 6, 5, 4, 3, 2, 1], 3)
    assert client.get(f"{HISTORY}?limit=7").json()["next_before"] is None
    assert client.get(f"{HISTORY}?before=1").json()["generations"] == []
    assert client.get(f"{HISTORY}?before={2**63 - 1}&limit=1000").json()["next_before"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "before=0", "before=x", f"before={2**63}"]
)
@pytest.mark.parametrize("path", [HISTORY, "/v1/audit"])
def test_pages_out_of_bounds(reading: TestClient, path: str, query: str) -> None:
    problem(reading.get(f"{path}?{query}"), "invalid-request")


def test_back_to_a_generation_by_digest(client: TestClient) -> None:
    """Case 20 in small: what a name means today does not matter."""
    compose = {"name": "mine", "parts": [{"patch": "fog"}]}
    client.post("/v1/compositions", json=compose)
    then = client.put(f"{SET}/mine").json()
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "frost"}]})
    client.put(f"{SET}/mine")
    answer = client.post(ROLLBACK, json={"generation": then["generation"]})
    assert answer.headers["etag"] == '"4"'
    assert answer.json()["state_digest"] == then["state_digest"]
    assert answer.json()["patches"] == then["patches"]


def test_back_to_what_is_not_there(client: TestClient) -> None:
    for number in (0, 2, 2**63 - 1):
        problem(client.post(ROLLBACK, json={"generation": number}), "unknown-generation")


VALUES = (
    *("true", "-1", "1.0", '"1"', "null", "[]", "NaN", "1e400"),
    *(str(2**63), "1" + "0" * 400),
)


@pytest.mark.parametrize(
    "body",
    [f'{{"generation":{value}}}' for value in VALUES]
    + ["{}", "[]", "1", '{"generation":1,"to":2}'],
)
def test_what_is_no_generation(reading: TestClient, body: str) -> None:
    answer = reading.post(ROLLBACK, content=body, headers={"content-type": "application/json"})
    problem(answer, "invalid-request")


def test_back_only_from_what_was_seen(client: TestClient) -> None:
    client.put(f"{SET}/fog")
    answer = client.post(ROLLBACK, json={"generation": 1}, headers={"If-Match": '"1"'})
    assert problem(answer, "stale-generation")["current_generation"] == 2
    answer = client.post(ROLLBACK, json={"generation": 1}, headers={"If-Match": '"2"'})
    assert answer.json()["patches"] == []


def test_the_audit_log_has_the_store_too(client: TestClient) -> None:
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "fog"}]})
    client.delete("/v1/patches/mine")
    client.put(f"{SET}/fog")
    records = client.get("/v1/audit").json()["records"]
    assert [one["action"] for one in records] == ["apply", "delete", "compose", "start"]
    assert [one["seq"] for one in records] == [4, 3, 2, 1]
    assert [one["subject"] for one in records] == ["bundled", "mine@1", "mine@1", "bundled"]
    assert records[0]["digests"] == [client.get("/v1/patches/fog").json()["digest"]]
    assert len({one["chain"] for one in records}) == 4
    first = client.get("/v1/audit?limit=2").json()
    assert first["next_before"] == 3
    assert client.get("/v1/audit?limit=4").json()["next_before"] is None
    assert client.get("/v1/audit?limit=2&before=3").json()["records"] == records[2:]


def test_both_are_for_admins(make_client: MakeClient) -> None:
    client = make_client(token=None, predict_tokens=f"camera:{PREDICT}")
    for path in (HISTORY, "/v1/audit"):
        problem(client.get(path), "unauthorized")
        problem(client.get(path, headers=bearer(PREDICT)), "forbidden")
