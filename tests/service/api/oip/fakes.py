"""The protocol's routes on a model that is a matrix, without anything else of the service."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, get_args

import torch
from fastapi import FastAPI
from starlette.middleware import Middleware
from torch import Tensor

from rwsstore.models import ModelSpec
from rwsstore.patches import parse_request
from rwsstore.runtime import Chosen
from rwsstore_service.api.faults import add_handlers
from rwsstore_service.api.oip.contract import Contract
from rwsstore_service.api.oip.routes import router
from rwsstore_service.api.requests import HostDep, ServiceDep
from rwsstore_service.engine.records import PredictedImages, Wanted
from rwsstore_service.wire.gate import Access, Gate
from rwsstore_service.wire.observability import Metrics
from rwsstore_service.wire.problems import ProblemError
from rwsstore_service.wire.tokens import read_tokens
from tests.service.wire.asking import settings_of

SIZE = 2
MAX_IMAGES = 4
CLASSES = ("bird", "café", "ship")
CONTRACT = Contract(model="tiny", size=SIZE, classes=CLASSES, max_images=MAX_IMAGES)


@dataclass
class FakeHost:
    """Logits are pixels in [0, 1] times a matrix; patches scale them by one plus their α."""

    name: str = "tiny"
    ready: bool = True
    fault: str | None = None
    busy: bool = False
    timeouts: list[float | None] = field(default_factory=list)
    classes: tuple[str, ...] = CLASSES
    spec: ModelSpec = field(
        default_factory=lambda: ModelSpec(
            network="vgg16", num_classes=len(CLASSES), classes=CLASSES, input_size=SIZE
        )
    )

    async def choose(self, text: str) -> Wanted:
        if text == "active":
            return None
        wanted = parse_request(text)
        if "smog" in wanted:
            raise ProblemError("unknown-patch", "no patch 'smog' in the store")
        return tuple(
            Chosen(name, "0" * 64, 1.0 if alpha is None else alpha)
            for name, alpha in wanted.items()
        )

    async def predict(
        self, images: Tensor, wanted: Wanted, *, asked_at: float, timeout: float | None
    ) -> PredictedImages:
        self.timeouts.append(timeout)
        if self.busy:
            raise ProblemError("overloaded", "64 requests wait", headers={"Retry-After": "1"})
        patches = (Chosen("frost", "1" * 64, 0.5),) if wanted is None else wanted
        return PredictedImages(
            logits=logits_of(images, patches),
            patches=patches,
            state_digest="d" * 64,
            generation=7 if wanted is None else None,
            queued=0.0,
            computed=0.0,
        )


def logits_of(images: Tensor, patches: tuple[Chosen, ...] = ()) -> Tensor:
    matrix = torch.randn(3 * SIZE * SIZE, len(CLASSES), generator=torch.Generator().manual_seed(1))
    pixels = images if images.is_floating_point() else images.float() / 255
    return pixels.flatten(1) @ matrix * (1 + sum(one.alpha for one in patches))


def make_app(host: FakeHost, *, closed: bool = False) -> FastAPI:
    """Build an app of the routes behind the gate, on this model; closed to who has no token."""
    service = SimpleNamespace(
        settings=SimpleNamespace(max_images=MAX_IMAGES),
        hosts={host.name: host},
        ready=host.ready,
        why_not_ready="" if host.ready else "the service is starting",
    )

    def find_host(model: str) -> FakeHost:
        if model != host.name:
            raise ProblemError("unknown-model", f"no model {model!r}")
        return host

    settings = settings_of() if closed else settings_of(predict_tokens="")
    tokens = read_tokens(settings)
    gate = Middleware(Gate, settings, tokens, Access(settings, tokens))
    app = FastAPI(middleware=[gate])
    app.state.metrics = Metrics()
    app.include_router(router)
    app.dependency_overrides = {
        _function(HostDep): find_host,
        _function(ServiceDep): lambda: service,
    }
    add_handlers(app)
    return app


def _function(dependency: Any) -> Any:
    return get_args(dependency)[1].dependency
