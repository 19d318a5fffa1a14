"""Traces of requests, where the operator names a collector; nothing at all otherwise."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from starlette.types import Scope

from rwsstore.errors import MissingExtraError
from rwsstore_service.settings import Settings

Attribute = str | int | float | bool


class Span(Protocol):
    """What is known of one request. Found in `scope["state"]["span"]`, with or without tracing."""

    @property
    def trace_id(self) -> str:
        """32 hex digits; "" without tracing."""

    def set(self, **attributes: Attribute) -> None:
        """Note facts: `model`, `state_digest`, `batch_size`; shown as rwsstore.NAME."""

    def record(self, name: str, start: float, end: float) -> None:
        """Add a part of the request that is over.

        Args:
            name: queue, decode or compute.
            start: when it began, as `time.perf_counter` told.
            end: when it ended, likewise.
        """

    def end(self, method: str, route: str, status: int) -> None:
        """Close the span and hand it to the exporter's thread."""


class Tracer(Protocol):
    """Makes spans."""

    def request(self, headers: Iterable[tuple[bytes, bytes]], /) -> Span:
        """Begin the span of a request, as a child of its traceparent (W3C) if it has one."""

    def close(self) -> None:
        """Send what is left, for two seconds at most; blocks as long."""


class _NoSpan:
    """A span that keeps nothing."""

    trace_id = ""

    def set(self, **attributes: Attribute) -> None:
        """Forget them."""

    def record(self, name: str, start: float, end: float) -> None:
        """Forget it."""

    def end(self, method: str, route: str, status: int) -> None:
        """Do nothing."""


class NoTracing:
    """The tracer of a service without a collector."""

    def __init__(self) -> None:
        self._span = _NoSpan()

    def request(self, _headers: Iterable[tuple[bytes, bytes]], /) -> Span:
        """Give the span that keeps nothing."""
        return self._span

    def close(self) -> None:
        """Do nothing."""


def tracer_of(settings: Settings) -> Tracer:
    """Make the tracer that the settings ask for; OpenTelemetry is imported only if they do.

    Raises:
        MissingExtraError: a collector is named and the extra `tracing` is not installed.
    """
    if settings.tracing_endpoint is None:
        return NoTracing()
    try:
        from rwsstore_service.wire.otel import OtelTracer, otlp_exporter
    except ImportError as error:
        raise MissingExtraError("tracing", "tracing") from error
    return OtelTracer(otlp_exporter(settings.tracing_endpoint))


def trace_prediction(
    scope: Scope,
    *,
    model: str,
    state_digest: str,
    images: int,
    queued: float,
    decoded: float | None,
    computed: float,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Add a prediction that has just ended to its request's span, if there is one.

    Its parts are taken as one after the other, the last ending now: decode, queue, compute.

    Args:
        scope: of the request.
        model: the served name.
        state_digest: of the weights that answered.
        images: in the request.
        queued: seconds that it waited.
        decoded: seconds to decode its images; None where it brought arrays.
        computed: seconds that its batch took.
        clock: tells now.
    """
    span: Span | None = scope.get("state", {}).get("span")
    if span is None:
        return
    span.set(model=model, state_digest=state_digest, batch_size=images)
    end = clock()
    for name, seconds in (("compute", computed), ("queue", queued), ("decode", decoded)):
        if seconds is not None:
            span.record(name, end - seconds, end)
            end -= seconds
