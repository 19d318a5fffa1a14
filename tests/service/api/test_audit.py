"""The audit log over REST: who did what, in order, and no more."""

from starlette.testclient import TestClient

from tests.service.box import ADMIN, PREDICT
from tests.service.conftest import MakeClient

MODEL = "/v1/models/bundled"


def test_every_kind_of_change_is_there(client: TestClient) -> None:
    client.put(f"{MODEL}/patchset/fog", headers={"X-Request-ID": "put-fog-on"})
    parts = [{"patch": "fog", "alpha": 0.5}, {"patch": "frost"}]
    client.post("/v1/compositions", json={"name": "icy", "parts": parts})
    client.delete("/v1/patches/icy")
    answer = client.get("/v1/audit").json()
    assert [record["action"] for record in answer["records"]] == [
        "delete", "compose", "apply", "start",
    ]  # fmt: skip
    assert answer["next_before"] is None
    deleted, composed, applied, started = answer["records"]
    assert (deleted["subject"], deleted["generation"]) == ("icy@1", None)
    assert composed["digests"] == deleted["digests"]
    assert (applied["actor"], applied["request_id"]) == ("operator", "put-fog-on")
    assert applied["previous_state_digest"] == started["state_digest"] != applied["state_digest"]
    assert [record["seq"] for record in answer["records"]] == [4, 3, 2, 1]


def test_what_is_refused_is_not_there(client: TestClient) -> None:
    assert client.put(f"{MODEL}/patchset/smog").status_code == 404
    assert client.delete("/v1/patches/fog").status_code == 409
    assert len(client.get("/v1/audit").json()["records"]) == 1


def test_it_is_read_in_pages(client: TestClient) -> None:
    client.put(f"{MODEL}/patchset/fog")
    client.delete(f"{MODEL}/patchset")
    first = client.get("/v1/audit", params={"limit": 2}).json()
    second = client.get("/v1/audit", params={"limit": 2, "before": first["next_before"]}).json()
    assert [record["seq"] for record in first["records"] + second["records"]] == [3, 2, 1]


def test_it_is_for_admins(make_client: MakeClient) -> None:
    client = make_client(token=None, predict_tokens=f"camera:{PREDICT}")
    statuses = {
        token: client.get("/v1/audit", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in (PREDICT, ADMIN)
    }
    assert statuses == {PREDICT: 403, ADMIN: 200}
    assert client.get("/v1/audit").status_code == 401
