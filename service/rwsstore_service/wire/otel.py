"""Tracing on OpenTelemetry (the extra `tracing`); imported only where a collector is named."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import rwsstore

_log = logging.getLogger(__name__)
_NANO = 1_000_000_000


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Make the exporter to a collector: OTLP over HTTP, protobuf."""
    return OTLPSpanExporter(endpoint=endpoint)


class OtelTracer:
    """Spans through a provider of its own; a thread of the SDK sends them in batches.

    Args:
        exporter: sends them. However slow or broken it is, no request waits for it: the SDK's queue
            holds 2,048 spans, then drops.
        close_seconds: how long `close` lets it send what is left.
    """

    def __init__(self, exporter: SpanExporter, *, close_seconds: float = 2.0) -> None:
        self._exporter = _Telling(exporter)
        own = Resource({"service.name": "rwsstore", "service.version": rwsstore.__version__})
        resource = own.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._maker = self._provider.get_tracer("rwsstore", rwsstore.__version__)
        self._parents = TraceContextTextMapPropagator()
        self._close_seconds = close_seconds

    def request(self, headers: Iterable[tuple[bytes, bytes]], /) -> "OtelSpan":
        """Begin the span of a request, the child of its traceparent (W3C) if it has a valid one."""
        given = [(name, value.decode("latin-1")) for name, value in headers]
        parents = [value for name, value in given if name == b"traceparent"]
        carrier = {}
        if len(parents) == 1:  # of two neither can be believed
            states = ",".join(value for name, value in given if name == b"tracestate")
            carrier = {"traceparent": parents[0], "tracestate": states}
        parent = self._parents.extract(carrier)
        span = self._maker.start_span("request", context=parent, kind=SpanKind.SERVER)
        return OtelSpan(span, self._maker)

    def close(self) -> None:
        """Send what is left, as long as was said, blocking; then let go of the exporter."""
        worker = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        worker.start()
        worker.join(self._close_seconds)
        self._exporter.shutdown()  # ends the waiting between its retries


class OtelSpan:
    """A request's span, in `scope["state"]["span"]`."""

    def __init__(self, span: Span, maker: Tracer) -> None:
        self._span = span
        self._maker = maker
        self._started = (time.time_ns(), time.perf_counter())

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def set(self, **attributes: str | int | float | bool) -> None:
        """Note facts, as rwsstore.NAME."""
        for name, value in attributes.items():
            self._span.set_attribute(f"rwsstore.{name}", value)

    def predicted(
        self,
        *,
        model: str,
        state_digest: str,
        images: int,
        queued: float,
        decoded: float | None,
        computed: float,
    ) -> None:
        """Add a prediction that has just ended; seconds are those of `Metrics.predicted`.

        Its parts are taken as one after the other, the last ending now: decode, queue, compute.
        """
        self.set(model=model, state_digest=state_digest, batch_size=images)
        parent = set_span_in_context(self._span)
        end = time.perf_counter()
        for name, seconds in (("compute", computed), ("queue", queued), ("decode", decoded)):
            if seconds is not None:
                start = end - seconds
                child = self._maker.start_span(
                    name, context=parent, start_time=self._nanoseconds(start)
                )
                child.end(self._nanoseconds(end))
                end = start

    def end(self, method: str, route: str, status: int) -> None:
        """Name the span by its route, note the status and end it."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _nanoseconds(self, moment: float) -> int:
        wall, counter = self._started
        return wall + round((moment - counter) * _NANO)


class _Telling(SpanExporter):
    """An exporter that tells once when it begins to fail, and once when it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._closed.is_set():
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception:
            _log.debug("the exporter failed", exc_info=True)
            result = SpanExportResult.FAILURE
        if self._closed.is_set():  # what is cut off by closing is no outage
            return result
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            _log.warning("traces cannot be sent; they are dropped until the collector answers")
        elif self._failing and not failing:
            _log.info("traces are sent again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
