import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import torch

import rwsstore
from rwsstore.runtime import Chosen
from rwsstore_service.api.oip.contract import Contract
from rwsstore_service.api.oip.messages import Asked, read_request
from rwsstore_service.describe import default_document
from tests.service.api.oip.fakes import CLASSES, FakeHost, logits_of, make_app
from tests.service.api.oip.wire import HEADER, binary_request, json_request, read_answer

IMAGES = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2) * 10
INFER = "/v2/models/tiny/infer"


def ask(
    method: str,
    path: str,
    *,
    host: FakeHost | None = None,
    closed: bool = False,
    **request: Any,
) -> httpx.Response:
    """Send one request to an app without a socket."""
    app = make_app(host or FakeHost(), closed=closed)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tiny") as client:
            return await client.request(method, path, **request)

    return anyio.run(send)


def infer(body: bytes, length: str | None = None, **options: Any) -> httpx.Response:
    headers = options.pop("headers", {})
    if length is not None:
        headers = {HEADER: length, **headers}
    path = options.pop("path", INFER)
    return ask("POST", path, content=body, headers=headers, **options)


def outputs_of(response: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    assert response.status_code == 200, response.text
    length = response.headers.get(HEADER)
    return read_answer(response.content, None if length is None else int(length))


def assert_problem(response: httpx.Response, status: int, kind: str) -> str:
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:rwsstore:problem:{kind}"
    assert body["error"] == body["detail"]
    return str(body["error"])


def test_the_server_describes_itself() -> None:
    found = ask("GET", "/v2").json()
    assert (found["name"], found["version"]) == ("rwsstore", rwsstore.__version__)
    assert "binary_tensor_data" in found["extensions"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"name": "tiny", "ready": True}),
    ],
)
def test_it_is_ready(path: str, answer: dict[str, Any]) -> None:
    response = ask("GET", path)
    assert (response.status_code, response.json()) == (200, answer)


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/tiny/ready"])
def test_it_is_not_ready_while_it_does_not_compute(path: str) -> None:
    response = ask("GET", path, host=FakeHost(ready=False))
    assert_problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"
    assert ask("GET", "/v2/health/live", host=FakeHost(ready=False)).status_code == 200


def test_a_model_that_lost_its_patches_says_why() -> None:
    host = FakeHost(ready=False, fault="generation 7 cannot be restored")
    assert "generation 7" in assert_problem(
        ask("GET", "/v2/models/tiny/ready", host=host), 503, "unavailable"
    )
    (entry,) = ask("POST", "/v2/repository/index", host=host).json()
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "generation 7 cannot be restored")


@pytest.mark.parametrize("path", ["/v2/models/tiny", "/v2/models/tiny/versions/1"])
def test_the_model_is_described(path: str) -> None:
    found = ask("GET", path).json()
    assert found["inputs"][0]["shape"] == [-1, 3, 2, 2]
    assert found["inputs"][0]["parameters"]["max_images"] == 4
    assert found["outputs"][0] == {"name": "logits", "datatype": "FP32", "shape": [-1, 3]}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}'])
def test_the_index_lists_the_model(body: bytes) -> None:
    found = ask("POST", "/v2/repository/index", content=body).json()
    assert found == [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}]


def test_the_index_of_what_is_ready_leaves_out_the_rest() -> None:
    host = FakeHost(ready=False)
    assert len(ask("POST", "/v2/repository/index", host=host).json()) == 1
    assert ask("POST", "/v2/repository/index", host=host, json={"ready": True}).json() == []


@pytest.mark.parametrize("path", [INFER, "/v2/models/tiny/versions/1/infer"])
def test_inference_in_json(path: str) -> None:
    response = infer(json_request(IMAGES, id="42"), path=path)
    assert response.headers["content-type"] == "application/json"
    answer, found = outputs_of(response)
    active = (Chosen("frost", "1" * 64, 0.5),)
    logits = logits_of(IMAGES, active)
    assert torch.equal(found["logits"], logits)
    assert found["labels"] == [CLASSES[index] for index in logits.argmax(1).tolist()]
    assert answer["id"] == "42"
    assert answer["parameters"] == {
        "patchset": "frost=0.5",
        "state_digest": "d" * 64,
        "generation": 7,
    }


def test_inference_in_binary() -> None:
    response = infer(*binary_request(IMAGES, parameters={"binary_data_output": True}))
    assert response.headers["content-type"] == "application/octet-stream"
    _, found = outputs_of(response)
    _, in_json = outputs_of(infer(json_request(IMAGES)))
    assert torch.equal(found["logits"], in_json["logits"])
    assert found["labels"] == in_json["labels"]


def test_floats_are_taken_as_they_are() -> None:
    floats = IMAGES.float() / 255
    for response in (infer(json_request(floats)), infer(*binary_request(floats))):
        _, found = outputs_of(response)
        assert torch.equal(found["logits"], logits_of(floats, (Chosen("frost", "", 0.5),)))


@pytest.mark.parametrize(
    ("text", "canonical", "alpha"),
    [("none", "none", 0), ("fog=0.6", "fog=0.6", 0.6), ("fog, blur=0.40", "blur=0.4,fog=1", 1.4)],
)
def test_a_request_may_bring_its_own_patches(text: str, canonical: str, alpha: float) -> None:
    answer, found = outputs_of(infer(json_request(IMAGES, parameters={"patchset": text})))
    assert answer["parameters"] == {"patchset": canonical, "state_digest": "d" * 64}
    assert torch.allclose(found["logits"], logits_of(IMAGES) * (1 + alpha))


def test_only_the_asked_outputs_come() -> None:
    _, found = outputs_of(infer(json_request(IMAGES, outputs=[{"name": "labels"}])))
    assert list(found) == ["labels"]


def test_patches_that_are_not_there_are_a_problem() -> None:
    body = json_request(IMAGES, parameters={"patchset": "smog=1"})
    assert "smog" in assert_problem(infer(body), 404, "unknown-patch")


@pytest.mark.parametrize("text", ["fog=nan", "fog=1e400", "=1", "fog,fog"])
def test_patch_sets_that_are_none_are_a_problem(text: str) -> None:
    body = json_request(IMAGES, parameters={"patchset": text})
    assert_problem(infer(body), 422, "invalid-request")


def test_a_full_queue_is_a_problem() -> None:
    response = infer(json_request(IMAGES), host=FakeHost(busy=True))
    assert_problem(response, 503, "overloaded")
    assert response.headers["retry-after"] == "1"


Send = Callable[[], httpx.Response]
REFUSED: dict[str, tuple[Send, int, str]] = {
    "another model": (lambda: ask("GET", "/v2/models/x"), 404, "unknown-model"),
    "another model's readiness": (lambda: ask("GET", "/v2/models/x/ready"), 404, "unknown-model"),
    "another model's inference": (
        lambda: infer(json_request(IMAGES), path="/v2/models/x/infer"),
        404,
        "unknown-model",
    ),
    "another version": (lambda: ask("GET", "/v2/models/tiny/versions/2"), 404, "unknown-model"),
    "another version's readiness": (
        lambda: ask("GET", "/v2/models/tiny/versions/01/ready"),
        404,
        "unknown-model",
    ),
    "another version's inference": (
        lambda: infer(json_request(IMAGES), path="/v2/models/tiny/versions/%F0%9F%90%A6/infer"),
        404,
        "unknown-model",
    ),
    "no body": (lambda: infer(b""), 400, "bad-request"),
    "no json": (lambda: infer(b"\xff\x00"), 400, "bad-request"),
    "length beyond the body": (lambda: infer(b"{}", "3"), 400, "bad-request"),
    "two lengths": (
        lambda: ask("POST", INFER, content=b"{}", headers=[(HEADER, "2"), (HEADER, "2")]),
        400,
        "bad-request",
    ),
    "too many images": (
        lambda: infer(*binary_request(torch.zeros(5, 3, 2, 2))),
        413,
        "too-large",
    ),
    "an id of half a letter": (lambda: infer(b'{"id":"\\ud800"}'), 422, "invalid-request"),
    "an index of text": (
        lambda: ask("POST", "/v2/repository/index", content=b'"x"'),
        422,
        "invalid-request",
    ),
    "a long index": (
        lambda: ask("POST", "/v2/repository/index", content=b" " * 5_000),
        413,
        "too-large",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_a_problem_in_the_protocols_words(name: str) -> None:
    send, status, kind = REFUSED[name]
    assert assert_problem(send(), status, kind)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/models/tiny"),
        ("GET", "/v2/models/tiny/versions/1"),
        ("GET", "/v2/models/tiny/versions/2"),
        ("GET", "/v2/models/tiny/ready"),
        ("POST", "/v2/models/tiny/infer"),
        ("POST", "/v2/models/tiny/versions/2/infer"),
        ("POST", "/v2/repository/index"),
    ],
)
def test_all_but_health_wants_a_reader(method: str, path: str) -> None:
    assert_problem(ask(method, path, closed=True), 401, "unauthorized")


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_wants_nobody(path: str) -> None:
    assert ask("GET", path, closed=True).status_code == 200


def test_how_long_a_request_may_wait() -> None:
    host = FakeHost()
    infer(json_request(IMAGES, parameters={"timeout": 500_000}), host=host)
    infer(json_request(IMAGES), host=host)
    assert host.timeouts == [0.5, None]


def test_a_large_body_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a request is read, the loop goes on: reading waits here for what the loop does."""
    turned: list[bool] = []

    async def turn() -> None:
        turned.append(True)

    def read_after_a_turn(body: bytes, length: str | None, contract: Contract) -> Asked:
        anyio.from_thread.run(turn)
        return read_request(body, length, contract)

    monkeypatch.setattr("rwsstore_service.api.oip.routes.read_request", read_after_a_turn)
    assert infer(json_request(IMAGES) + b" " * 8192).status_code == 200
    assert turned == [True]


def test_openapi_describes_every_operation() -> None:
    paths = make_app(FakeHost()).openapi()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 10
    for operation in operations:
        assert operation["summary"]
        assert "HTTPValidationError" not in json.dumps(operation)


def test_openapis_example_is_a_request() -> None:
    infer = default_document()["paths"]["/v2/models/{model}/infer"]["post"]
    body = infer["requestBody"]["content"]
    assert set(body) == {"application/json", "application/octet-stream"}
    example = body["application/json"]["example"]
    contract = Contract(model="pixel", size=1, classes=("a", "b"), max_images=1)
    asked = read_request(json.dumps(example).encode(), None, contract)
    assert asked.images.flatten().tolist() == [0, 127, 255]
