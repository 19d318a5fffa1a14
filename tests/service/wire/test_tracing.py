"""Traces: one span a request, its parts, and collectors that do not answer."""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rwsstore.errors import MissingExtraError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.observability import tracer_of
from rwsstore_service.wire.otel import OtelTracer, otlp_exporter
from tests.service.wire.watched import watched

ROOT = Path(__file__).parents[3]
PREDICT = "/v1/models/{model}/predict"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
LONG = 20.0


def spans_of(
    method: str = "POST", path: str = "/v1/models/m/predict", **headers: str
) -> dict[str, ReadableSpan]:
    """Ask the app one thing; the spans that were exported, by name."""
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, close_seconds=LONG)
    watched(tracer).ask(method, path, headers)
    tracer.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_one_server_span_with_what_is_known_of_it() -> None:
    span = spans_of(**{"X-Request-ID": "abc"})[f"POST {PREDICT}"]

    assert span.kind.name == "SERVER"
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": PREDICT,
        "http.response.status_code": 200,
        "rwsstore.request_id": "abc",
        "rwsstore.model": "m",
        "rwsstore.state_digest": "d" * 64,
        "rwsstore.batch_size": 3,
    }
    assert span.resource.attributes["service.name"] == "rwsstore"


def test_the_parts_of_a_prediction_are_its_children_one_after_the_other() -> None:
    spans = spans_of()
    root = spans.pop(f"POST {PREDICT}").context

    assert set(spans) == {"decode", "queue", "compute"}
    assert root is not None
    assert {span.parent.span_id for span in spans.values() if span.parent} == {root.span_id}
    seconds = {
        name: ((one.end_time or 0) - (one.start_time or 0)) / 1e9 for name, one in spans.items()
    }
    assert seconds == pytest.approx({"decode": 0.5, "queue": 0.25, "compute": 1.0})
    assert spans["decode"].end_time == spans["queue"].start_time
    assert spans["queue"].end_time == spans["compute"].start_time


def test_arrays_have_no_decoding() -> None:
    assert set(spans_of(path="/v1/models/arrays/predict")) == {
        f"POST {PREDICT}",
        "compute",
        "queue",
    }


def test_a_traceparent_is_taken_over() -> None:
    span = spans_of("GET", "/livez", traceparent=TRACEPARENT, tracestate="vendor=1")["GET /livez"]
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.context.trace_state.get("vendor") == "1"


@pytest.mark.parametrize(
    "value", ["", "x", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", TRACEPARENT[:-1]]
)
def test_a_bad_traceparent_begins_a_trace_of_its_own(value: str) -> None:
    span = spans_of("GET", "/livez", traceparent=value)["GET /livez"]
    assert span.parent is None


def test_of_two_traceparents_neither_is_believed() -> None:
    tracer = OtelTracer(InMemorySpanExporter(), close_seconds=LONG)
    headers = [(b"traceparent", TRACEPARENT.encode())] * 2
    assert tracer.request(headers).trace_id != TRACE
    assert tracer.request(headers[:1]).trace_id == TRACE
    tracer.close()


def test_what_the_caller_does_not_sample_is_not_sent() -> None:
    assert spans_of("GET", "/livez", traceparent=TRACEPARENT[:-1] + "0") == {}


@pytest.fixture(scope="module")
def tracer() -> Iterator[OtelTracer]:
    made = OtelTracer(InMemorySpanExporter(), close_seconds=LONG)
    yield made
    made.close()


@hypothesis_settings(max_examples=50)
@given(headers=st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate"]), st.binary())))
def test_no_header_breaks_a_request(tracer: OtelTracer, headers: list[tuple[bytes, bytes]]) -> None:
    tracer.request(headers).end("GET", "/x", 200)


@pytest.mark.parametrize(
    ("path", "status", "colour"),
    [("/v1/models/m/fails", 500, "ERROR"), ("/nowhere", 404, "UNSET")],
)
def test_failures_of_the_service_are_errors_and_those_of_callers_are_not(
    path: str, status: int, colour: str
) -> None:
    (span,) = spans_of("GET", path).values()
    assert (span.attributes or {})["http.response.status_code"] == status
    assert span.status.status_code.name == colour


def test_made_up_methods_are_one_name() -> None:
    (span,) = spans_of("BREW", "/livez").values()
    assert span.name == "other /livez"


def test_the_access_line_names_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="rwsstore_service.access"):
        spans_of("GET", "/livez", traceparent=TRACEPARENT)
    (line,) = [one for one in caplog.records if one.name == "rwsstore_service.access"]
    assert vars(line)["trace_id"] == TRACE


class Stuck(SpanExporter):
    """A collector that takes spans and never answers."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.waited_for = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.waited_for = self.waited_for or not self.let_go.wait(LONG)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.let_go.set()


def test_no_request_waits_for_a_collector_that_is_stuck(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    exporter = Stuck()
    tracer = OtelTracer(exporter, close_seconds=0.01)
    box = watched(tracer)

    box.ask("GET", "/livez")
    assert exporter.asked.wait(LONG)
    answers = box.ask_all([("GET", "/livez")] * 50)  # more than the queue holds

    assert {answer.status_code for answer in answers} == {200}
    assert not exporter.let_go.is_set()
    tracer.close()
    assert exporter.let_go.is_set()
    assert not exporter.waited_for


class Flaky(SpanExporter):
    """Fails as it is told: a result, or None to raise."""

    def __init__(self, results: list[SpanExportResult | None]) -> None:
        self._results = iter(results)
        self.done = threading.Semaphore(0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = next(self._results)
        self.done.release()
        if result is None:
            raise RuntimeError("no")
        return result

    def shutdown(self) -> None: ...


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every span is sent at once."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")


def test_an_outage_is_told_once_at_its_beginning_and_once_at_its_end(
    eager: None, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    exporter = Flaky([good, bad, None, bad, good, good])
    tracer = OtelTracer(exporter, close_seconds=LONG)
    with caplog.at_level(logging.INFO, logger="rwsstore_service"):
        for _ in range(6):
            tracer.request([]).end("GET", "/x", 200)
            assert exporter.done.acquire(timeout=LONG)
        tracer.close()

    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("WARNING", "traces cannot be sent; they are dropped until the collector answers"),
        ("INFO", "traces are sent again"),
    ]


def test_a_collector_that_is_gone_harms_nothing(eager: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listened on: connections are refused
        port = taken.getsockname()[1]
        tracer = OtelTracer(otlp_exporter(f"http://127.0.0.1:{port}/v1/traces"), close_seconds=0.01)
        answers = watched(tracer).ask_all([("GET", "/livez")] * 5)
        tracer.close()
        tracer.close()

    assert {answer.status_code for answer in answers} == {200}


def test_a_collector_gets_otlp(eager: None) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                received.append(connection.recv(65_536))
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

        collector = threading.Thread(target=answer)
        collector.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"
        tracer = tracer_of(Settings(tracing_endpoint=url))
        assert tracer is not None
        tracer.request([]).end("GET", "/x", 200)
        collector.join(LONG)
        tracer.close()

    assert received[0].startswith(b"POST /v1/traces HTTP/1.1\r\n")
    assert b"application/x-protobuf" in received[0]


def test_without_a_collector_there_is_no_tracer() -> None:
    assert tracer_of(Settings()) is None
    assert watched().ask("POST", "/v1/models/m/predict", {"traceparent": TRACEPARENT}).is_success


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rwsstore_service.wire.otel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rwsstore\[tracing\]'"):
        tracer_of(Settings(tracing_endpoint="http://collector:4318/v1/traces"))


def test_without_a_collector_opentelemetry_is_not_imported() -> None:
    # FastAPI imports the API on its own (opentelemetry-api); what could send is the SDK.
    code = (
        "import sys; import rwsstore_service.app; from rwsstore_service.wire import observability;"
        "from rwsstore_service.settings import Settings; observability.tracer_of(Settings());"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry.sdk')]"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "service")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
