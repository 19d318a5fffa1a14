"""Is it alive, is it ready, and how is it doing."""

__all__ = ["router"]

from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from rwsstore_service.api.contract import Answer
from rwsstore_service.api.requests import ServiceDep, metrics_of
from rwsstore_service.wire.problems import ProblemError, problem_responses

router = APIRouter(tags=["Health"])

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


@router.get("/livez", summary="Is the process alive?")
async def read_liveness() -> Alive:
    """Answers as long as the process can."""
    return Alive(status="ok")


@router.get(
    "/readyz", summary="Are predictions served?", responses=problem_responses("unavailable")
)
async def read_readiness(service: ServiceDep) -> Ready:
    """Not while it starts or stops, nor when the last patch set could not be restored."""
    if not service.ready:
        raise ProblemError("unavailable", service.why_not_ready, headers={"Retry-After": "1"})
    return Ready(status="ready")


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={**_METRICS, **problem_responses("unauthorized", "rate-limited")},
)
async def read_metrics(request: Request) -> Response:
    """Counters, gauges and histograms, listed in docs/observability.md."""
    body, content_type = metrics_of(request).render(request.headers.get("accept"))
    return Response(body, headers={"Content-Type": content_type})
