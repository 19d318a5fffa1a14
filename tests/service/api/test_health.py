"""Probes and the scraper's page."""

import pytest
from starlette.testclient import TestClient

from rwsstore_service import Settings, create_app
from tests.service.answering import problem
from tests.service.box import ADMIN, PREDICT
from tests.service.conftest import MakeClient


def test_alive_and_ready(reading: TestClient) -> None:
    assert reading.get("/livez").json() == {"status": "ok"}
    assert reading.get("/readyz").json() == {"status": "ready"}


def test_alive_but_not_ready_before_it_is_started() -> None:
    client = TestClient(create_app(Settings.of()), base_url="http://127.0.0.1")
    assert client.get("/livez").status_code == 200
    for path in ("/readyz", "/v2/health/ready"):
        answer = client.get(path)
        assert "starting" in problem(answer, "unavailable")["detail"]
        assert answer.headers["retry-after"] == "1"


def test_not_ready_any_more_once_it_stops(make_client: MakeClient) -> None:
    client = make_client()
    client.app.state.service.stopping = True  # type: ignore[attr-defined]
    assert "stopping" in problem(client.get("/readyz"), "unavailable")["detail"]
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"), [("*/*", "text/plain"), ("application/openmetrics-text", "application/")]
)
def test_metrics(reading: TestClient, accept: str, kind: str) -> None:
    answer = reading.get("/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert 'rwsstore_active_generation{model="bundled"} 1' in answer.text


def test_metrics_behind_a_token(make_client: MakeClient) -> None:
    client = make_client(
        token=None, open_metrics=False, predict_tokens=f"camera:{PREDICT}", rate_limit=0
    )
    problem(client.get("/metrics"), "unauthorized")
    for token in (ADMIN, PREDICT):
        assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).is_success
