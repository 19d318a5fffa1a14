"""What is served."""

import pytest
from starlette.testclient import TestClient

from rwsstore.bundle import bundled_model
from rwsstore.models import weights_fingerprint
from tests.service.answering import MODEL, problem
from tests.service.conftest import MakeClient


def test_the_list_and_the_one(reading: TestClient) -> None:
    (model,) = reading.get("/v1/models").json()["models"]
    assert model == reading.get(MODEL).json()
    clean = bundled_model()
    assert (model["name"], model["network"]) == ("bundled", clean.spec.network)
    assert tuple(model["classes"]) == clean.spec.classes
    assert model["fingerprint"]["weights"] == weights_fingerprint(clean.state_dict())
    assert model["parameters"] == sum(one.numel() for one in clean.parameters())
    assert model["patchset"] == reading.get(f"{MODEL}/patchset").json()


def test_it_says_what_it_takes(make_client: MakeClient) -> None:
    client = make_client(model_name="cifar", max_images=3, max_pixels=2048, max_image_bytes=4096)
    given = client.get("/v1/models/cifar").json()["input"]
    assert given["formats"] == ["JPEG", "PNG", "WEBP", "BMP"]
    assert (given["channels"], given["height"], given["width"]) == (3, 32, 32)
    assert (given["max_images"], given["max_pixels"], given["max_image_bytes"]) == (3, 2048, 4096)


def test_another_is_not_there(reading: TestClient) -> None:
    for path in ("", "/patchset", "/history"):
        body = problem(reading.get(f"/v1/models/other{path}"), "unknown-model")
        assert "'other'" in body["detail"]
        assert "bundled" in body["detail"]


@pytest.mark.parametrize("name", ["%2e%2e", "a" * 65, "-a", "f%D0%BEg", "a%00", "%20"])
def test_what_is_no_name_is_refused(reading: TestClient, name: str) -> None:
    problem(reading.get(f"/v1/models/{name}"), "invalid-request")
