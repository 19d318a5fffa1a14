"""What must never happen, asked of the running service over a socket."""

import random
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rwsstore.bundled import bundled_model
from rwsstore.models import build
from rwsstore.patches import Patch
from tests.e2e.running import Offline, Running, pictures, png, problem_of, running
from tests.runtime.making import bare_patch
from tests.service.api.oip.wire import json_request
from tests.training.tiny import classifier

_IMAGE = png(pictures(1)[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("trust")) as service:
        yield service


@pytest.fixture
def service(shared: Running) -> Iterator[Running]:
    """With the clean model at first; sound at the end, whatever was asked of it."""
    shared.change("DELETE", "/patchset")
    yield shared
    verified = shared.get("/patchset", verify=True)
    assert verified["ok"], verified
    assert shared.store.fsck().findings == ()
    assert shared.http.get("/livez").status_code == 200


def state(service: Running) -> tuple[int, str, str]:
    """Generation, state digest, and the fingerprint of the weights as they lie in memory."""
    found = service.get("/patchset", verify=True)
    return found["generation"], found["state_digest"], found["live_weights"]


def many_patches(count: int) -> list[Patch]:
    """Small patches on the first layers; other counts have other names."""
    model = bundled_model()
    return [
        bare_patch(
            model, f"n{count}-{number}", seed=number, bits=2, layers=1 + number % 3, scale=1e-3
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [16, pytest.param(200, marks=pytest.mark.soak)])
def test_many_patches_go_on_and_off_in_any_order(service: Running, count: int) -> None:
    draw = random.Random(count)
    patches = many_patches(count)
    for patch in patches:
        service.upload(patch)
    strengths = {patch.name: draw.choice([0.25, 0.5, 1.0]) for patch in patches}
    clean, names = state(service)[1:], list(strengths)
    draw.shuffle(names)
    for name in names:
        service.change("PUT", f"/patchset/{name}", {"alpha": strengths[name]})
    all_on = state(service)[1:]
    assert all_on[0] == Offline(service.folder).state_digest(strengths.items())
    service.change("DELETE", "/patchset")
    assert state(service)[1:] == clean
    service.replace(strengths)
    assert state(service)[1:] == all_on
    draw.shuffle(names)
    off, kept = names[: count // 2], sorted(names[count // 2 :])
    for name in off:
        service.change("DELETE", f"/patchset/{name}")
    left = state(service)[1:]
    service.change("DELETE", "/patchset")
    service.replace({name: strengths[name] for name in kept})
    assert state(service)[1:] == left
    for name in kept:
        service.change("DELETE", f"/patchset/{name}")
    assert state(service)[1:] == clean


def test_many_patches_composed_are_those_patches(service: Running) -> None:
    names = [entry.name for entry in service.store.list() if entry.layer == "bundled"]
    service.replace(dict.fromkeys(names, 0.1))
    all_on = state(service)[1:]
    parts = [{"patch": name, "alpha": 0.2} for name in reversed(names)]
    body = {"name": "everything", "parts": parts}
    assert service.http.post("/v1/compositions", json=body).status_code == 201
    service.change("DELETE", "/patchset")
    service.change("PUT", "/patchset/everything", {"alpha": 0.5})
    assert state(service)[1:] == all_on


@pytest.mark.parametrize("where", ["patch set", "composition"])
def test_a_thousand_patches_are_the_most(service: Running, where: str) -> None:
    before = state(service)
    wanted = [{"patch": f"p{number}", "alpha": 1} for number in range(1001)]
    if where == "patch set":
        answer = service.ask("PUT", "/patchset", {"patches": wanted}, If_Match="*")
    else:
        body = {"name": "all", "parts": wanted}
        answer = service.http.post("/v1/compositions", json=body)
    assert problem_of(answer) == (422, "invalid-request")
    assert "1000" in answer.json()["detail"]
    assert state(service) == before


def test_a_patch_of_other_weights(service: Running) -> None:
    model = bundled_model()
    stranger = bare_patch(build(model.spec, seed=1).eval(), "stranger")
    service.upload(stranger)
    refused_everywhere(service, "stranger", "wrong-model")


def test_a_patch_of_another_architecture(service: Running) -> None:
    service.upload(bare_patch(classifier("resnet18", folded=True), "alien"))
    refused_everywhere(service, "alien", "wrong-model")


def refused_everywhere(service: Running, name: str, kind: str, alpha: float = 1.0) -> None:
    """Neither for everybody nor for one request, alone or with others; the model stays."""
    service.change("PUT", "/patchset/fog", {"alpha": 0.5})
    before = state(service)
    choice = {"patch": name, "alpha": alpha}
    answers = [
        service.ask("PUT", f"/patchset/{name}", {"alpha": alpha}),
        service.ask("PUT", "/patchset", {"patches": [choice, {"patch": "frost"}]}, If_Match="*"),
        service.predict(_IMAGE, f"{name}={alpha:.0f}"),
        service.predict(_IMAGE, f"frost,{name}={alpha:.0f}"),
    ]
    assert {problem_of(answer) for answer in answers} == {(422, kind)}
    assert state(service) == before
    assert service.predict(_IMAGE).json()["state_digest"] == before[1]
    assert service.predict(_IMAGE, "none").status_code == 200


@pytest.mark.parametrize(
    ("name", "scale", "alpha"),
    [("overflowing", 1e33, 1e6), ("too-strong", 1e16, 1.0)],
    ids=["weights overflow", "logits overflow"],
)
def test_numbers_that_are_not_finite(
    service: Running, name: str, scale: float, alpha: float
) -> None:
    bounds = {"recommended": 1e-6, "maximum": 1e6} if alpha > 1 else {}
    patch = bare_patch(bundled_model(), name, scale=scale, layers=3, bits=32, alpha=bounds)
    service.upload(patch)
    refused_everywhere(service, name, "not-finite", alpha)


# No patch, model or token: what a route does with them comes after the token.
_CHANGES = [
    ("POST", "/v1/patches"),
    ("DELETE", "/v1/patches/fog"),
    ("POST", "/v1/compositions"),
    ("PUT", "/v1/models/bundled/patchset"),
    ("DELETE", "/v1/models/bundled/patchset"),
    ("PUT", "/v1/models/bundled/patchset/fog"),
    ("PATCH", "/v1/models/bundled/patchset/fog"),
    ("DELETE", "/v1/models/bundled/patchset/fog"),
    ("POST", "/v1/models/bundled/rollback"),
]
_FOR_ADMINS = [
    *_CHANGES,
    ("GET", "/v1/models/bundled/history"),
    ("GET", "/v1/models/bundled/patchset?verify=true"),
]


def test_these_are_all_the_changes_there_are(service: Running) -> None:
    found = [
        (method.upper(), path.replace("{model}", "bundled").replace("{patch}", "fog"))
        for path, methods in service.app.openapi()["paths"].items()
        for method in methods
        if method != "get" and not path.startswith("/v2") and not path.endswith("/predict")
    ]
    assert sorted(found) == sorted(_CHANGES)


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Bearer another-token-altogether"}, {"Authorization": "Basic eDp5"}],
    ids=["none", "another", "basic"],
)
def test_no_change_without_a_token(service: Running, header: dict[str, str]) -> None:
    before = state(service)
    sent = {"If-Match": "*", **header}
    with httpx.Client(base_url=service.url, headers=sent) as http:
        for method, path in _FOR_ADMINS:
            answer = http.request(method, path, content=b"{}")
            assert problem_of(answer) == (401, "unauthorized"), path
            assert "Bearer" in answer.headers["www-authenticate"]
    assert state(service) == before


_URLS = [
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "https://localhost/patch.safetensors",
]


def requests_with(url: str) -> list[tuple[str, str, dict[str, Any]]]:
    """One request for each place that takes a text."""
    model, quoted = "/v1/models/bundled", httpx.QueryParams({"x": url})["x"]
    file = {"content": b"x", "headers": {"Content-Type": "application/octet-stream"}}
    image = {"content": _IMAGE, "headers": {"Content-Type": "image/png"}}
    infer = "/v2/models/bundled/infer"
    text = {"content": url.encode()}
    matched = {"If-Match": "*"}
    parts = [{"patch": url}]
    form = {"files": [("images", ("a", _IMAGE, "image/png"))]}
    inputs = json_request(pictures(1), parameters={"patchset": url})
    return [
        ("PUT", f"{model}/patchset", {"json": {"patches": parts}, "headers": matched}),
        ("PUT", f"{model}/patchset/{url}", {}),
        ("PUT", f"{model}/patchset/fog", {"json": {"alpha": url}}),
        ("PUT", f"{model}/patchset/fog", {"json": {"url": url}}),
        ("PATCH", f"{model}/patchset/{url}", {"json": {"alpha": 1}}),
        ("POST", f"{model}/rollback", {"json": {"generation": url}}),
        ("POST", "/v1/compositions", {"json": {"name": url, "parts": [{"patch": "fog"}]}}),
        ("POST", "/v1/compositions", {"json": {"name": "x", "parts": parts}}),
        ("POST", "/v1/patches", {"params": {"name": url}, **file}),
        ("POST", "/v1/patches", {"json": {"url": url}}),
        ("POST", "/v1/patches", {"content": url.encode(), "headers": file["headers"]}),
        ("GET", f"/v1/patches/{quoted}", {}),
        ("POST", f"{model}/predict", {"params": {"patchset": url}, **image}),
        ("POST", f"{model}/predict", {"data": {"patchset": url}, **form}),
        ("POST", f"{model}/predict", {**text, "headers": {"Content-Type": "image/png"}}),
        ("POST", f"{model}/predict", {**text, "headers": {"Content-Type": "text/uri-list"}}),
        ("POST", f"/v1/models/{quoted}/predict", image),
        ("POST", infer, {"content": inputs}),
        ("POST", infer, {"json": {"inputs": [{"name": "images", "url": url}]}}),
        ("POST", infer, text),
        ("POST", "/v2/repository/index", {"json": {"repository": url}}),
    ]


@pytest.mark.parametrize("url", _URLS)
def test_no_url_is_ever_fetched(
    service: Running, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(self, address)

    def looked_up(host: object, *rest: object, **more: object) -> list[Any]:
        opened.append(host)
        return []

    before = state(service)
    refused = requests_with(url)
    monkeypatch.setattr(socket.socket, "connect", noted)
    monkeypatch.setattr(socket.socket, "connect_ex", noted)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    for method, path, request in refused:
        answer = service.http.request(method, path, **request)
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
        assert "root:" not in answer.text
    assert opened == []  # the client has its connection already
    monkeypatch.undo()
    assert state(service) == before
