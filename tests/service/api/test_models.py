"""What is served."""

import pytest
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_folder, bundled_model, card_path
from rwsstore.making.card import BundleCard
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


def test_it_says_how_it_is_computed(make_client: MakeClient) -> None:
    found = make_client(compute="auto").get(MODEL).json()["compute"]
    assert found["why"] == "probe"
    offered = {one["name"]: one for one in found["offered"]}
    card = BundleCard.read(card_path(bundled_folder()))
    assert list(offered) == [one.name for one in card.formats if one.offered]
    assert found["format"] in offered
    assert found["agreement"] == offered[found["format"]]["agreement"] >= 99.5
    for one in card.formats:
        if one.offered:
            shown = offered[one.name]
            assert (shown["agreement"], shown["images"]) == (one.lowest_agreement, one.images)
    assert offered["float32"]["milliseconds"] > 0


def test_without_batching_it_is_computed_as_the_library_does(make_client: MakeClient) -> None:
    client = make_client(compute="auto", batching=False)
    found = client.get(MODEL).json()["compute"]
    assert (found["format"], found["why"]) == ("float32", "exact")
    assert {one["milliseconds"] for one in found["offered"]} == {None}
    assert 'compute="float32"' in client.get("/metrics").text


def test_the_operator_s_format_is_used_and_told(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="rwsstore_service"):
        client = make_client(compute="packed")
    found = client.get(MODEL).json()["compute"]
    assert (found["format"], found["why"], found["agreement"]) == ("packed", "operator", 100.0)
    (line,) = [one.message for one in caplog.records if one.message.startswith("serving model")]
    assert line.endswith("computed in packed (operator)")
    assert 'compute="packed"' in client.get("/metrics").text
