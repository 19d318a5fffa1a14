"""The patches of the store."""

import hashlib

import pytest
from starlette.testclient import TestClient

from rwsstore.bundled import bundled_store
from rwsstore.corruptions import CORRUPTIONS
from tests.service.answering import SET, problem
from tests.service.conftest import MakeClient

BYTES = {"content-type": "application/octet-stream"}


def upload(client: TestClient, data: bytes, query: str = "") -> TestClient:
    answer = client.post(f"/v1/patches{query}", content=data, headers=BYTES)
    assert answer.status_code == 201, answer.text
    return client


def fog(client: TestClient) -> bytes:
    return client.get("/v1/patches/fog/content").content


def test_the_list_is_by_name_with_cards(reading: TestClient) -> None:
    body = reading.get("/v1/patches").json()
    names = [one["name"] for one in body["patches"]]
    assert names == sorted([*CORRUPTIONS, "clat", "corruption_resistant", "hessian_aware"])
    assert body["total"] == len(names) == 22
    for one in body["patches"]:
        assert one["fits"]
        assert one["layer"] == "bundled"
        assert {0.0, 1.0} <= {point["alpha"] for point in one["card"]["points"]}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("corruption=fog", 1),
        ("corruption=smog", 0),
        ("kind=rws", 19),
        ("kind=composed", 0),
        ("kind=%00", 0),
        ("bits=8", 19),
        ("bits=2", 0),
        ("fits=true", 22),
        ("fits=false", 0),
        ("all_versions=true", 22),
    ],
)
def test_filters(reading: TestClient, query: str, count: int) -> None:
    assert reading.get(f"/v1/patches?{query}").json()["total"] == count


def test_pages_make_the_list(reading: TestClient) -> None:
    pages = [reading.get(f"/v1/patches?limit=8&offset={start}").json() for start in (0, 8, 16, 24)]
    assert [len(page["patches"]) for page in pages] == [8, 8, 6, 0]
    assert {page["total"] for page in pages} == {22}
    whole = reading.get("/v1/patches").json()["patches"]
    assert [one for page in pages for one in page["patches"]] == whole


def test_the_list_is_sorted_by_size(reading: TestClient) -> None:
    by_name = reading.get("/v1/patches?sort=name").json()
    assert by_name == reading.get("/v1/patches").json()
    by_size = reading.get("/v1/patches?sort=touched").json()["patches"]
    sizes = [one["touched_bytes"] for one in by_size]
    assert sizes == sorted(sizes)
    assert sizes[0] == 314592 < sizes[-1]
    assert sorted(one["name"] for one in by_size) == [one["name"] for one in by_name["patches"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "bits=1",
        "bits=33",
        "fits=maybe",
        "sort=size",
    ],
)
def test_filters_out_of_bounds(reading: TestClient, query: str) -> None:
    body = problem(reading.get(f"/v1/patches?{query}"), "invalid-request")
    assert body["errors"][0]["where"] == f"query.{query.partition('=')[0]}"


def test_one_patch_by_all_that_it_is_called(reading: TestClient) -> None:
    described = reading.get("/v1/patches/fog").json()
    digest = described["digest"]
    assert digest == bundled_store().resolve("fog")
    assert (described["name"], described["version"], described["kind"]) == ("fog", 1, "rws")
    for reference in ("fog@1", digest, digest[:8]):
        assert reading.get(f"/v1/patches/{reference}").json() == described


@pytest.mark.parametrize("reference", ["smog", "fog@2", "0" * 64, "00000000"])
@pytest.mark.parametrize("what", ["", "/content"])
def test_a_patch_that_is_not_there(reading: TestClient, reference: str, what: str) -> None:
    problem(reading.get(f"/v1/patches/{reference}{what}"), "unknown-patch")


@pytest.mark.parametrize("reference", ["fog@0", "fog@", "fog@x", "Fog", "%2e%2e", "f" * 72, "a%0a"])
def test_what_is_no_reference(reading: TestClient, reference: str) -> None:
    problem(reading.get(f"/v1/patches/{reference}"), "invalid-request")


def test_the_file_is_what_its_digest_says(reading: TestClient) -> None:
    answer = reading.get("/v1/patches/fog/content")
    digest = hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["etag"] == f'"{digest}"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert f'filename="{digest[:16]}.safetensors"' in answer.headers["content-disposition"]
    described = reading.get("/v1/patches/fog").json()
    assert (described["digest"], described["file_bytes"]) == (digest, len(answer.content))


def test_an_upload_is_stored_and_put_nowhere(client: TestClient) -> None:
    data, before = fog(client), client.get(SET).json()
    answer = client.post("/v1/patches?name=my_fog", content=data, headers=BYTES)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/patches/my_fog@1"
    assert answer.json() == client.get(answer.headers["location"]).json()
    assert client.get("/v1/patches/my_fog/content").content == data
    assert answer.json()["layer"] == "user"
    assert client.get(SET).json() == before


def test_the_same_again_is_a_duplicate(client: TestClient) -> None:
    data = fog(client)
    upload(client, data, "?name=my_fog")
    body = problem(
        client.post("/v1/patches?name=my_fog", content=data, headers=BYTES), "duplicate-patch"
    )
    assert (body["name"], body["version"]) == ("my_fog", 1)
    assert body["digest"] == hashlib.sha256(data).hexdigest()


def test_a_version_that_has_moved_on(client: TestClient) -> None:
    data, other = fog(client), client.get("/v1/patches/frost/content").content
    path = "/v1/patches?name=mine&expected_version="
    assert client.post(f"{path}0", content=data, headers=BYTES).status_code == 201
    problem(client.post(f"{path}0", content=other, headers=BYTES), "conflict")
    answer = client.post(f"{path}1", content=other, headers=BYTES)
    assert answer.headers["location"] == "/v1/patches/mine@2"
    assert client.get("/v1/patches?all_versions=true").json()["total"] == 24


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 64, b"\0" * 8])
def test_what_is_no_patch_is_refused(client: TestClient, data: bytes) -> None:
    problem(client.post("/v1/patches", content=data, headers=BYTES), "invalid-patch")


def test_one_bit_less_than_a_patch(client: TestClient) -> None:
    data = bytearray(fog(client))
    for place in (8, len(data) // 2, len(data) - 1):
        bad = data.copy()
        bad[place] ^= 1
        answer = client.post("/v1/patches", content=bytes(bad), headers=BYTES)
        assert answer.status_code in (201, 422)  # a bit of a code is another patch
    problem(client.post("/v1/patches", content=bytes(data[:-1]), headers=BYTES), "invalid-patch")


def test_uploads_of_another_kind_or_name(client: TestClient) -> None:
    data = fog(client)
    answer = client.post("/v1/patches", content=data, headers={"content-type": "image/png"})
    problem(answer, "unsupported-media")
    for name in ("..", "None", "a" * 65, "none", "deadbeef", "%00"):
        answer = client.post(f"/v1/patches?name={name}", content=data, headers=BYTES)
        problem(answer, "invalid-request")


def test_an_upload_that_is_too_large(make_client: MakeClient) -> None:
    client = make_client(max_patch_bytes=1024)
    body = problem(client.post("/v1/patches", content=fog(client), headers=BYTES), "too-large")
    assert body["limit"] == 1024


def test_a_name_is_deleted_with_all_its_versions(client: TestClient) -> None:
    upload(client, fog(client), "?name=mine")
    upload(client, client.get("/v1/patches/frost/content").content, "?name=mine")
    assert problem(client.delete("/v1/patches/mine@1"), "invalid-request")
    answer = client.delete("/v1/patches/mine")
    assert (answer.status_code, answer.content) == (204, b"")
    for reference in ("mine", "mine@1", "mine@2"):
        problem(client.get(f"/v1/patches/{reference}"), "unknown-patch")
    problem(client.delete("/v1/patches/mine"), "unknown-patch")


def test_what_is_on_or_was_on_stays(client: TestClient) -> None:
    client.post("/v1/compositions", json={"name": "mine", "parts": [{"patch": "fog"}]})
    client.put(f"{SET}/mine")
    body = problem(client.delete("/v1/patches/mine"), "patch-in-use")
    assert "active" in body["detail"]
    client.delete(SET)
    body = problem(client.delete("/v1/patches/mine"), "patch-in-use")
    assert "generation 2" in body["detail"]
    assert client.get("/v1/patches/mine").is_success


def test_what_comes_with_rwsstore_stays(client: TestClient) -> None:
    problem(client.delete("/v1/patches/fog"), "read-only")
    assert client.get("/v1/patches/fog").is_success
