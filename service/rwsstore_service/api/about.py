"""What the service says of itself: does it live, what it serves, what was done; and its pages."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from rwsstore_service.api.answers import audit_record, model_answer
from rwsstore_service.api.contract import Answer, AuditAnswer, ModelAnswer, ModelList
from rwsstore_service.api.requests import HostDep, ServiceDep, StrictRoute, metrics_of
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


class Alive(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
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


models = APIRouter(prefix="/v1/models", tags=["Models"], route_class=StrictRoute)

_MODEL_PROBLEMS = ("unauthorized", "rate-limited", "overloaded")


@models.get(
    "", summary="List models", responses=problem_responses("invalid-request", *_MODEL_PROBLEMS)
)
async def list_models(service: ServiceDep) -> ModelList:
    """A service has one clean model; the list is for clients that do not know its name."""
    hosts = service.hosts.values()
    return ModelList(models=tuple(model_answer(host, service.settings) for host in hosts))


@models.get(
    "/{model}",
    summary="Describe a model",
    responses=problem_responses("unknown-model", "invalid-request", *_MODEL_PROBLEMS),
)
async def describe_model(service: ServiceDep, host: HostDep) -> ModelAnswer:
    """Classes, input, fingerprints of the clean weights, and the active patch set."""
    return model_answer(host, service.settings)


audit = APIRouter(prefix="/v1/audit", tags=["Patch sets"], route_class=StrictRoute)

_AUDIT_PROBLEMS = ("unauthorized", "forbidden", "invalid-request", "integrity")


@audit.get("", summary="Read the audit log", responses=problem_responses(*_AUDIT_PROBLEMS))
async def read_audit(
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
    before: Annotated[
        int | None, Query(ge=1, lt=2**63, description="Only records below this number.")
    ] = None,
) -> AuditAnswer:
    """Everything that was changed, the newest first: patch sets, uploads, compositions, deletions.

    The log is append-only. Each record holds a hash over the one before, so that an edit shows.
    """
    entries = await run_in_threadpool(service.journal.records, limit=limit, before=before)
    more = len(entries) == limit and entries[-1].seq > 1
    return AuditAnswer(
        records=tuple(map(audit_record, entries)), next_before=entries[-1].seq if more else None
    )


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
