"""The app in this process, and the service as a process of its own."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_model
from rwsstore_service import Settings, create_app
from rwsstore_service.engine import service
from tests.service.box import ADMIN, Box

MakeClient = Callable[..., TestClient]


@pytest.fixture(autouse=True, scope="session")
def bundled_once() -> Iterator[None]:
    """Apps in this process get copies of one bundled model; loading it is half of their start."""
    clean = bundled_model()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service, "bundled_model", lambda: deepcopy(clean))
        yield


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[MakeClient]:
    """Start apps on the bundled model; `token=None` sends none, other values are settings."""
    running: list[TestClient] = []

    def make(
        *, token: str | None = ADMIN, folder: Path | None = None, **settings: Any
    ) -> TestClient:
        place = tmp_path if folder is None else folder
        values = {
            "store": place / "store",
            "state": place / "state",
            "admin_tokens": f"operator:{ADMIN}",
            "threads": 1,
            "compute": "float32",  # no probe at each start
            **settings,
        }
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = TestClient(
            create_app(Settings.of(**values)),
            base_url="http://127.0.0.1",
            headers=headers,
            raise_server_exceptions=True,
        )
        client.__enter__()
        running.append(client)
        return client

    yield make
    for client in running:
        client.__exit__()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """One app on the bundled model, with an admin's token."""
    return make_client()


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real service for reading and predicting; reading needs no token."""
    with Box(tmp_path_factory.mktemp("service")) as box:
        yield box.url
