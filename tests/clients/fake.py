"""A small service that keeps to the HTTP API, answers with the service's own schemas, and runs
without a model: every image shows its first byte."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import httpx
from pydantic import BaseModel

from rwsstore_client.contract import (
    AppliedPatch,
    AuditLog,
    AuditRecord,
    ComputeInfo,
    Fingerprint,
    Generation,
    History,
    InputInfo,
    Label,
    ModelInfo,
    ModelPage,
    OfferedFormat,
    Patch,
    PatchPage,
    PatchSet,
    Prediction,
    Predictions,
    ResolvedPatch,
    Timing,
    Verification,
)
from rwsstore_service.wire.problems import PROBLEMS

TOKEN = "a-token-of-the-tests"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class RefusalError(Exception):
    def __init__(self, kind: str, detail: str, **members: Any) -> None:
        self.kind, self.detail, self.members = PROBLEMS[kind], detail, members


def refuse(kind: str, detail: str, **members: Any) -> NoReturn:
    raise RefusalError(kind, detail, **members)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Stored:
    name: str
    version: int
    data: bytes
    parts: tuple[ResolvedPatch, ...] = ()

    @property
    def digest(self) -> str:
        return sha256(self.data)

    def answer(self) -> Patch:
        return Patch(
            name=self.name, version=self.version, digest=self.digest,
            kind="composed" if self.parts else "rws", corruption=self.name, severity=5,
            attack=None, budget=None, bits=8,
            alpha=1.0, alpha_minimum=0.0, alpha_maximum=2.0, layers=("features.0",),
            parts=self.parts, architecture="a" * 64, clean_weights="c" * 64, fits=True,
            touched_bytes=4, payload_bytes=1, file_bytes=len(self.data), layer="user", card=None,
            dataset=None, tool="tests",
        )  # fmt: skip


def model_answer(patchset: PatchSet) -> ModelInfo:
    return ModelInfo(
        name=patchset.model, network="tiny", parameters=3, classes=("cat", "dog"),
        fingerprint=Fingerprint(architecture="a" * 64, weights="c" * 64),
        input=InputInfo(
            channels=3, height=32, width=32, formats=("PNG",), resize="cut", max_images=64,
            max_pixels=1000, max_image_bytes=1000,
        ),
        compute=ComputeInfo(
            format="packed", why="probe", agreement=99.9,
            offered=(
                OfferedFormat(name="float32", agreement=100.0, images=500, milliseconds=3.0),
                OfferedFormat(name="packed", agreement=99.9, images=500, milliseconds=1.5),
            ),
        ),
        patchset=patchset,
    )  # fmt: skip


Body = tuple[int, BaseModel | bytes | None, dict[str, str]]


@dataclass
class FakeService:
    """What it holds, and every request that it saw."""

    model: str = "bundled"
    is_ready: bool = True
    patches: list[Stored] = field(default_factory=list)
    on: dict[str, float] = field(default_factory=dict)
    history: list[Generation] = field(default_factory=list)
    seen: list[httpx.Request] = field(default_factory=list)
    page: int = 1000  # most patches in one answer

    def __post_init__(self) -> None:
        for name in ("fog", "frost", "gaussian_noise"):
            self.patches.append(Stored(name, 1, name.encode()))
        self._record("start")

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        try:
            status, body, headers = self._answer(request)
        except RefusalError as refusal:
            document = {
                **refusal.members, "type": f"urn:rwsstore:problem:{refusal.kind.name}",
                "title": refusal.kind.title, "status": refusal.kind.status,
                "detail": refusal.detail, "instance": request.url.path, "request_id": "r-1",
            }  # fmt: skip
            return httpx.Response(
                refusal.kind.status,
                content=json.dumps(document),
                headers={"Content-Type": "application/problem+json"},
            )
        if isinstance(body, BaseModel):
            headers = {"Content-Type": "application/json", **headers}
            return httpx.Response(status, content=body.model_dump_json(), headers=headers)
        return httpx.Response(status, content=body or b"", headers=headers)

    def _answer(self, request: httpx.Request) -> Body:
        for method, pattern, route in _ROUTES:
            match = re.fullmatch(pattern, request.url.path)
            if match is not None and method == request.method:
                if method != "GET" and not request.url.path.endswith("/predict"):
                    self._check_change(request)
                return route(self, request, *match.groups())
        refuse("not-found", f"no {request.method} {request.url.path}")

    def _check_change(self, request: httpx.Request) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            refuse("unauthorized", "a token is needed")
        if not re.fullmatch("[!-~]{1,128}", request.headers.get("idempotency-key", "")):
            refuse("bad-request", "no idempotency key")
        match = request.headers.get("if-match", "*")
        if match not in ("*", f'"{self.history[-1].generation}"'):
            current = self.history[-1].generation
            refuse("stale-generation", f"it is {current}", current_generation=current)

    def live(self, request: httpx.Request) -> Body:
        return 200, b"{}", {}

    def ready(self, request: httpx.Request) -> Body:
        return (200, b"{}", {}) if self.is_ready else refuse("unavailable", "not yet")

    def models(self, request: httpx.Request) -> Body:
        return 200, ModelPage(models=(model_answer(self.active),)), {}

    def info(self, request: httpx.Request, model: str) -> Body:
        if model != self.model:
            refuse("unknown-model", f"no model {model!r}")
        return 200, model_answer(self.active), {}

    def audit(self, request: httpx.Request) -> Body:
        before = int(request.url.params.get("before", len(self.history) + 1))
        records = [
            AuditRecord(
                seq=seq, at=WHEN, action=one.action, subject=one.model, actor=one.actor,
                address=one.address, request_id=one.request_id, generation=one.generation,
                digests=tuple(patch.digest for patch in one.patches),
                state_digest=one.state_digest, previous_state_digest=one.previous_state_digest,
                chain="d" * 64,
            )
            for seq, one in enumerate(self.history[: before - 1], start=1)
        ]  # fmt: skip
        some = tuple(reversed(records))[: int(request.url.params["limit"])]
        more = some[-1].seq if some[-1].seq > 1 else None
        return 200, AuditLog(records=some, next_before=more), {}

    # patches

    def find(self, reference: str) -> Stored:
        for patch in reversed(self.patches):
            if reference in (patch.name, f"{patch.name}@{patch.version}", patch.digest):
                return patch
        refuse("unknown-patch", f"no patch {reference!r} in the store")

    def list_patches(self, request: httpx.Request) -> Body:
        query = request.url.params
        found = [patch.answer() for patch in self.patches]
        if "corruption" in query:
            found = [patch for patch in found if patch.corruption == query["corruption"]]
        if query["all_versions"] == "false":
            found = [patch for patch in found if self.find(patch.name).digest == patch.digest]
        start = int(query["offset"])
        some = tuple(found[start : start + min(self.page, int(query["limit"]))])
        return 200, PatchPage(patches=some, total=len(found)), {}

    def get_patch(self, request: httpx.Request, patch: str) -> Body:
        return 200, self.find(patch).answer(), {}

    def content(self, request: httpx.Request, patch: str) -> Body:
        found = self.find(patch)
        return 200, found.data, {"ETag": f'"{found.digest}"'}

    def upload(self, request: httpx.Request) -> Body:
        name = request.url.params.get("name", "uploaded")
        digest = sha256(request.content)
        versions = [patch for patch in self.patches if patch.name == name]
        if versions and versions[-1].digest == digest:
            version = versions[-1].version
            refuse("duplicate-patch", "there", digest=digest, name=name, version=version)
        expected = request.url.params.get("expected_version")
        if expected is not None and int(expected) != len(versions):
            refuse("conflict", "somebody was first")
        self.patches.append(Stored(name, len(versions) + 1, request.content))
        return 201, self.patches[-1].answer(), {}

    def delete(self, request: httpx.Request, name: str) -> Body:
        if self.find(name).name in self.on:
            refuse("patch-in-use", f"{name!r} is on")
        self.patches = [patch for patch in self.patches if patch.name != name]
        return 204, None, {}

    def compose(self, request: httpx.Request) -> Body:
        wanted = json.loads(request.content)
        parts = tuple(
            ResolvedPatch(
                name=part["patch"], digest=self.find(part["patch"]).digest,
                alpha=part.get("alpha", 1.0),
            )
            for part in wanted["parts"]
        )  # fmt: skip
        self.patches.append(Stored(wanted["name"], 1, request.content, parts))
        return 201, self.patches[-1].answer(), {}

    # the patch set

    @property
    def active(self) -> PatchSet:
        return PatchSet.model_validate(
            {name: getattr(self.history[-1], name) for name in PatchSet.model_fields}
        )

    def _digest(self, patches: dict[str, float]) -> str:
        return sha256(repr(sorted(patches.items())).encode())

    def _applied(self, patches: dict[str, float]) -> tuple[AppliedPatch, ...]:
        return tuple(
            AppliedPatch(patch=name, digest=self.find(name).digest, alpha=alpha)
            for name, alpha in patches.items()
        )

    def _record(self, action: Any, back: int | None = None) -> Body:
        applied = self._applied(self.on)
        previous = self.history[-1].state_digest if self.history else self._digest({})
        self.history.append(
            Generation(
                model=self.model, generation=len(self.history), patches=applied,
                resolved=tuple(
                    ResolvedPatch(name=one.patch, digest=one.digest, alpha=one.alpha)
                    for one in applied
                ),
                state_digest=self._digest(self.on), at=WHEN, action=action, actor="tests",
                address="127.0.0.1", request_id="r-1", previous_state_digest=previous,
                rolled_back_to=back,
            )
        )  # fmt: skip
        return 200, self.active, {"ETag": f'"{self.active.generation}"'}

    def patchset(self, request: httpx.Request, model: str) -> Body:
        if request.url.params.get("verify") != "true":
            return 200, self.active, {}
        found = Verification(
            model=model, generation=self.active.generation, state_digest=self.active.state_digest,
            live_weights="c" * 64, tensors=3, ok=self.is_ready,
            problems=() if self.is_ready else ("features.0.weight differs",),
        )  # fmt: skip
        return 200, found, {}

    def replace(self, request: httpx.Request, model: str) -> Body:
        if "if-match" not in request.headers:
            refuse("precondition-required", "say what is to be replaced")
        wanted = json.loads(request.content)["patches"]
        self.on = {self.find(one["patch"]).name: _strength(one) for one in wanted}
        return self._record("replace")

    def clear(self, request: httpx.Request, model: str) -> Body:
        self.on = {}
        return self._record("clear")

    def apply(self, request: httpx.Request, model: str, patch: str) -> Body:
        body = json.loads(request.content) if request.content else {}
        self.on = {**self.on, self.find(patch).name: _strength(body)}
        return self._record("apply")

    def scale(self, request: httpx.Request, model: str, patch: str) -> Body:
        if patch not in self.on:
            refuse("not-applied", f"{patch!r} is not on")
        self.on = {**self.on, patch: _strength(json.loads(request.content))}
        return self._record("scale")

    def remove(self, request: httpx.Request, model: str, patch: str) -> Body:
        if patch not in self.on:
            refuse("not-applied", f"{patch!r} is not on")
        self.on = {name: alpha for name, alpha in self.on.items() if name != patch}
        return self._record("remove")

    def generations(self, request: httpx.Request, model: str) -> Body:
        before = int(request.url.params.get("before", len(self.history)))
        limit = int(request.url.params["limit"])
        found = tuple(reversed(self.history[:before]))[:limit]
        last = found[-1].generation
        return 200, History(model=model, generations=found, next_before=last or None), {}

    def rollback(self, request: httpx.Request, model: str) -> Body:
        number = json.loads(request.content)["generation"]
        if number >= len(self.history):
            refuse("unknown-generation", f"no generation {number}")
        self.on = {one.patch: one.alpha for one in self.history[number].patches}
        return self._record("rollback", number)

    def predict(self, request: httpx.Request, model: str) -> Body:
        images, form = images_of(request)
        text = form.get("patchset", request.url.params.get("patchset", "active"))
        patches = self.on if text == "active" else read_patchset(text)
        top_k = int(form.get("top_k", request.url.params.get("top_k", "1")))
        answer = Predictions(
            model=model, patches=self._applied(patches), state_digest=self._digest(patches),
            generation=self.active.generation if text == "active" else None,
            predictions=tuple(
                Prediction(
                    top=tuple(
                        Label(label=f"byte {image[0] + k}", index=k, probability=0.5)
                        for k in range(top_k)
                    )
                )
                for image in images
            ),
            timing=Timing(queued_ms=1, decode_ms=2, compute_ms=3),
        )  # fmt: skip
        return 200, answer, {}


def _strength(body: dict[str, Any]) -> float:
    if "ta_loss" in body:
        return float(body["ta_loss"]) / 10
    return float(body.get("alpha", 1.0))


def read_patchset(text: str) -> dict[str, float]:
    items = [] if text == "none" else [item.partition("=") for item in text.split(",")]
    return {name: float(alpha) if equals else 1.0 for name, equals, alpha in items}


def images_of(request: httpx.Request) -> tuple[list[bytes], dict[str, str]]:
    """The files and the texts of a request for predictions."""
    media = request.headers["content-type"]
    if not media.startswith("multipart/form-data"):
        return [request.content], {}
    boundary = media.partition("boundary=")[2].encode()
    head, *parts, tail = request.content.split(b"--" + boundary)
    assert (head, tail) == (b"", b"--\r\n")
    images, texts = [], {}
    for part in parts:
        headers, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = headers.split(b'name="')[1].partition(b'"')[0].decode()
        if name == "images":
            assert b'filename="' in headers
            images.append(value.removesuffix(b"\r\n"))
        else:
            texts[name] = value.removesuffix(b"\r\n").decode()
    return images, texts


_M = r"/v1/models/([^/]+)"
Route = Callable[..., Body]
_ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("GET", "/livez", FakeService.live),
    ("GET", "/readyz", FakeService.ready),
    ("GET", "/v1/models", FakeService.models),
    ("GET", _M, FakeService.info),
    ("GET", "/v1/audit", FakeService.audit),
    ("GET", "/v1/patches", FakeService.list_patches),
    ("POST", "/v1/patches", FakeService.upload),
    ("GET", "/v1/patches/([^/]+)", FakeService.get_patch),
    ("GET", "/v1/patches/([^/]+)/content", FakeService.content),
    ("DELETE", "/v1/patches/([^/]+)", FakeService.delete),
    ("POST", "/v1/compositions", FakeService.compose),
    ("GET", f"{_M}/patchset", FakeService.patchset),
    ("PUT", f"{_M}/patchset", FakeService.replace),
    ("DELETE", f"{_M}/patchset", FakeService.clear),
    ("PUT", f"{_M}/patchset/([^/]+)", FakeService.apply),
    ("PATCH", f"{_M}/patchset/([^/]+)", FakeService.scale),
    ("DELETE", f"{_M}/patchset/([^/]+)", FakeService.remove),
    ("GET", f"{_M}/history", FakeService.generations),
    ("POST", f"{_M}/rollback", FakeService.rollback),
    ("POST", f"{_M}/predict", FakeService.predict),
)


@contextmanager
def served(handle: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
    """Answer on a real socket of this machine; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = httpx.Request(
                self.command,
                f"http://{self.headers['Host']}{self.path}",
                headers=list(self.headers.items()),
                content=self.rfile.read(length),
            )
            response = handle(request)
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name != "content-length":
                    self.send_header(name, value)
            if response.status_code != 204:
                self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
