"""What the tests of the routes have in common: a started app, images, and problems looked at."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from httpx2 import Response
from PIL import Image
from starlette.testclient import TestClient

from rwsstore_service import Settings, create_app
from rwsstore_service.wire.problems import PROBLEMS
from tests.service.box import ADMIN

MODEL = "/v1/models/bundled"
SET = f"{MODEL}/patchset"
IMAGE = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}


@contextmanager
def started(folder: Path, **settings: Any) -> Iterator[TestClient]:
    """An app on the bundled model, asked by an admin; its files stay in the folder."""
    values = {
        "store": folder / "store",
        "state": folder / "state",
        "admin_tokens": f"operator:{ADMIN}",
        "threads": 1,
        "compute": "float32",  # no probe at each start
        "rate_limit": 0,
        **settings,
    }
    app = create_app(Settings.of(**values))
    with TestClient(app, base_url="http://127.0.0.1", headers=bearer(ADMIN)) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(answer: Response, kind: str) -> dict[str, Any]:
    """Look at an answer that is to be a problem of a kind, and give its body."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:rwsstore:problem:{kind}", body
    assert (answer.status_code, body["title"]) == (PROBLEMS[kind].status, PROBLEMS[kind].title)
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    assert body["instance"].startswith("/")
    return body


def state(client: TestClient) -> tuple[int, str]:
    """The active patch set: its generation and its state digest."""
    body = client.get(SET).json()
    return body["generation"], body["state_digest"]


def picture(colour: str = "red", kind: str = "PNG", size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    image = Image.radial_gradient("L").resize(size).convert("RGB")
    Image.blend(image, Image.new("RGB", size, colour), 0.5).save(file, kind)
    return file.getvalue()


def predict(client: TestClient, image: bytes, query: str = "") -> dict[str, Any]:
    """Classify one image."""
    answer = client.post(f"{MODEL}/predict{query}", content=image, headers=IMAGE)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
