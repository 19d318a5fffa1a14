"""What the service says of itself: does it live, what it serves, what was done; and its pages."""

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from rwsstore.config import Frozen
from rwsstore.data.images import FORMATS
from rwsstore_client import contract
from rwsstore_service.api.patchset import patchset_answer
from rwsstore_service.api.predict import RESIZE
from rwsstore_service.api.requests import HostDep, ServiceDep, StrictRoute, metrics_of
from rwsstore_service.engine.format_choice import FormatChoice
from rwsstore_service.engine.host import ModelHost
from rwsstore_service.settings import Settings
from rwsstore_service.wire.problems import ProblemError, problem_responses

health = APIRouter(tags=["Health"])

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics; OpenMetrics where Accept asks for it.",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
    }
}


class Alive(Frozen):
    """The process answers."""

    status: Literal["ok"]


class Ready(Frozen):
    """Predictions are served."""

    status: Literal["ready"]


@health.get("/livez", summary="Is the process alive?")
async def read_liveness() -> Alive:
    """Answers as long as the process can."""
    return Alive(status="ok")


@health.get(
    "/readyz", summary="Are predictions served?", responses=problem_responses("unavailable")
)
async def read_readiness(service: ServiceDep) -> Ready:
    """Not while it starts or stops, nor when the last patch set could not be restored."""
    if not service.ready:
        raise ProblemError("unavailable", service.why_not_ready)
    return Ready(status="ready")


@health.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={**_METRICS, **problem_responses("unauthorized", "rate-limited")},
)
async def read_metrics(request: Request) -> Response:
    """Counters, gauges and histograms, listed in docs/observability.md."""
    body, content_type = metrics_of(request).render(request.headers.get("accept"))
    return Response(body, headers={"Content-Type": content_type})


def model_answer(host: ModelHost, settings: Settings) -> contract.ModelInfo:
    """The served model."""
    return contract.ModelInfo(
        name=host.name,
        network=host.spec.network,
        parameters=host.parameters,
        classes=host.classes,
        fingerprint=contract.Fingerprint(
            architecture=host.identity.architecture, weights=host.identity.clean_weights
        ),
        input=contract.InputInfo(
            channels=3,
            height=host.spec.input_size,
            width=host.spec.input_size,
            formats=FORMATS,
            resize=RESIZE,
            max_images=settings.max_images,
            max_pixels=settings.max_pixels,
            max_image_bytes=settings.max_image_bytes,
        ),
        compute=_compute(host.format_choice),
        patchset=patchset_answer(host.name, host.active, host.fault),
    )


def _compute(choice: FormatChoice) -> contract.ComputeInfo:
    agreements, milliseconds = choice.agreements, choice.milliseconds
    in_use = agreements.get(choice.format.name)
    found = [(one.name, agreements.get(one.name)) for one in choice.offered]
    return contract.ComputeInfo(
        format=choice.format.name,
        why=choice.why,
        agreement=None if in_use is None else in_use.lowest_agreement,
        offered=tuple(
            contract.OfferedFormat(
                name=name,
                agreement=None if agreement is None else agreement.lowest_agreement,
                images=None if agreement is None else agreement.images,
                milliseconds=milliseconds.get(name),
            )
            for name, agreement in found
        ),
    )


models = APIRouter(prefix="/v1/models", tags=["Models"], route_class=StrictRoute)

_MODEL_PROBLEMS = ("unauthorized", "rate-limited", "overloaded")


@models.get(
    "", summary="List models", responses=problem_responses("invalid-request", *_MODEL_PROBLEMS)
)
async def list_models(service: ServiceDep) -> contract.ModelPage:
    """A service has one clean model; the list is for clients that do not know its name."""
    hosts = service.hosts.values()
    return contract.ModelPage(models=tuple(model_answer(host, service.settings) for host in hosts))


@models.get(
    "/{model}",
    summary="Describe a model",
    responses=problem_responses("unknown-model", "invalid-request", *_MODEL_PROBLEMS),
)
async def describe_model(service: ServiceDep, host: HostDep) -> contract.ModelInfo:
    """Classes, input, fingerprints of the clean weights, and the active patch set."""
    return model_answer(host, service.settings)


pages = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "static" / "swagger"
# By name, so that nothing from a request becomes a path.
_FILES = {
    "": "text/html; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


@pages.get("/docs")
async def page() -> Response:
    """The page."""
    return await _file("")


@pages.get("/docs/{name}")
async def file(name: str) -> Response:
    """What the page needs."""
    return await _file(name)


async def _file(name: str) -> Response:
    """Whole: Starlette's FileResponse answers a wrong Range in plain text."""
    media_type = _FILES.get(name)
    if media_type is None:
        raise ProblemError("not-found", "there is no such page")
    data = await run_in_threadpool((_FOLDER / (name or "index.html")).read_bytes)
    return Response(data, media_type=media_type)
