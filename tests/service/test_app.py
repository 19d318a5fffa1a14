"""What the factory makes, and that nothing happens before it is started."""

import re
import socket
from collections.abc import Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from rwsstore.errors import ConfigError
from rwsstore_service import Settings, create_app
from rwsstore_service.wire.otel import OtelTracer
from tests.service.box import ADMIN, Box


def test_making_an_app_touches_no_file(tmp_path: Path) -> None:
    create_app(Settings.of(store=tmp_path / "store", state=tmp_path / "state"))
    assert not list(tmp_path.iterdir())


def test_no_path_fits_two_routes() -> None:
    """So that the order in which they are tried says nothing but how soon they are found."""
    routes = list(iter_route_contexts(create_app(Settings.model_construct()).routes))
    for route in routes:
        path = re.sub(r"{\w+}", "1", str(route.path))
        assert {one.path for one in routes if one.path_regex.match(path)} == {route.path}
    described = [route.path for route in routes if route.path != "/openapi.json"]
    assert described[0] == "/v1/models/{model}/predict"


def test_no_route_depends_on_a_plain_function() -> None:
    """FastAPI sends each to a thread, which costs more than any of them does."""

    def calls(dependant: Dependant) -> Iterator[object]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls(inner)

    routes = iter_route_contexts(create_app(Settings.model_construct()).routes)
    dependants = [getattr(route.route, "dependant", None) for route in routes]
    found = {call for one in dependants if isinstance(one, Dependant) for call in calls(one)}
    assert len(found) > 30
    assert [call for call in found if not iscoroutinefunction(call)] == []


def test_it_is_ready_once_started(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_another_address_needs_an_admin_token() -> None:
    with pytest.raises(ConfigError, match="RWS_ADMIN_TOKENS"):
        create_app(Settings.of(host="0.0.0.0"))


def test_a_short_token_is_warned_of_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    create_app(Settings.of(admin_tokens="operator:hush"))
    assert "'operator' is short" in caplog.text
    assert "hush" not in caplog.text


def test_a_model_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    app = create_app(Settings.of(model=str(tmp_path / "none.safetensors"), state=tmp_path))
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"), TestClient(app):
        pass


def test_a_store_that_is_a_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "fog.safetensors").write_bytes(b"")
    app = create_app(Settings.of(store=tmp_path / "fog.safetensors", state=tmp_path / "state"))
    with pytest.raises(ConfigError, match=r"fog\.safetensors is a file"), TestClient(app):
        pass


def test_the_last_spans_are_sent_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = OtelTracer.close, list[OtelTracer]()

    def noted(tracer: OtelTracer) -> None:
        closed.append(tracer)
        close(tracer)

    monkeypatch.setattr(OtelTracer, "close", noted)
    with socket.create_server(("127.0.0.1", 0)) as collector:
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}/v1/traces"
        app = create_app(Settings.of(state=tmp_path / "state", tracing_endpoint=endpoint))
        with TestClient(app):
            assert closed == []
    assert len(closed) == 1


def test_two_services_do_not_share_a_state(tmp_path: Path, client: TestClient) -> None:
    app = create_app(Settings.of(store=tmp_path / "store", state=tmp_path / "state"))
    with pytest.raises(Exception, match="another"), TestClient(app):
        pass


def test_a_real_one_answers_and_stops(tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        answer = httpx.get(f"{box.url}/v1/models", headers={"Authorization": f"Bearer {ADMIN}"})
        assert answer.json()["models"][0]["name"] == "bundled"
        assert box.stop() == 0


def test_no_variable_but_ours_makes_it_open_a_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.setblocking(False)
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
        variables = {
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "HTTP_PROXY": endpoint,
        }
        with Box(tmp_path, variables) as box:
            assert httpx.get(f"{box.url}/v1/models", trust_env=False).status_code == 200
            assert box.stop() == 0
        with pytest.raises(BlockingIOError):
            collector.accept()
