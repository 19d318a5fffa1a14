"""A prediction that has just ended, told to metrics and traces."""

__all__ = ["observe"]

from fastapi import Request

from rwsstore_service.engine.host import ModelHost
from rwsstore_service.engine.records import Prediction
from rwsstore_service.engine.service import Service
from rwsstore_service.observability.tracing import trace_prediction


def observe(
    service: Service,
    host: ModelHost,
    request: Request,
    found: Prediction,
    *,
    decoded: float | None = None,
) -> None:
    """Count a prediction and add its parts to the request's span.

    Args:
        service: whose metrics count it.
        host: that made it.
        request: that asked for it.
        found: what was computed.
        decoded: seconds to decode its images; None where it brought arrays.
    """
    images = len(found.logits)
    service.metrics.predicted(
        queued=found.queued, decoded=decoded, computed=found.computed, images=images
    )
    trace_prediction(
        request.scope,
        model=host.name,
        state_digest=found.state_digest,
        images=images,
        queued=found.queued,
        decoded=decoded,
        computed=found.computed,
    )
