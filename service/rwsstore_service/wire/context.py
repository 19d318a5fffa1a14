"""The outermost middleware: every request gets an id, a span and a line in the log."""

import json
import logging
import random
import re
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore.errors import MissingExtraError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import HEALTH_PATHS
from rwsstore_service.wire.logs import REQUEST_ID
from rwsstore_service.wire.metrics import REASONS, UNMATCHED, Metrics, Reason
from rwsstore_service.wire.problems import MEDIA_TYPE, PROBLEMS, ProblemError, problem_response

Attribute = str | int | float | bool


class Span:
    """What is known of one request, in `scope["state"]["span"]`; without tracing, nothing."""

    @property
    def trace_id(self) -> str:
        """32 hex digits; "" without tracing."""
        return ""

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


_NO_SPAN = Span()


class Tracer:
    """Makes spans; this one, of a service without a collector, such as keep nothing."""

    def request(self, _headers: Iterable[tuple[bytes, bytes]], /) -> Span:
        """Begin the span of a request, as a child of its traceparent (W3C) if it has one."""
        return _NO_SPAN

    def close(self) -> None:
        """Send what is left, for two seconds at most; blocks as long."""


def tracer_of(settings: Settings) -> Tracer:
    """Make the tracer that the settings ask for; OpenTelemetry is imported only if they do.

    Raises:
        MissingExtraError: a collector is named and the extra `tracing` is not installed.
    """
    if settings.tracing_endpoint is None:
        return Tracer()
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


CLIENT_LEFT = 499
"""Stands for the status of a request whose client left before there was one."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = HEALTH_PATHS | {"/metrics"}
_PATH_SHOWN = 256
_PROBLEM_READ = 65_536
_REASONS: dict[str, Reason] = {reason.replace("_", "-"): reason for reason in REASONS}

_log = logging.getLogger("rwsstore_service.access")
_error_log = logging.getLogger(__name__)


class RequestContext:
    """Middleware around the whole app.

    It leaves `request_id` (also in `REQUEST_ID`) and `span` in `scope["state"]`, sends the id back
    as X-Request-ID, and turns what escapes the app into a problem.

    Args:
        app: what answers.
        metrics: that requests are counted in.
        tracer: that begins a span for each; none without.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = Tracer() if tracer is None else tracer
        # Ids tell requests apart, they keep no secret: no system call for each.
        self._ids = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope["headers"]) or f"{self._ids.getrandbits(64):016x}"
        span = self._tracer.request(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"], state["span"] = request_id, span
        exchange = _Exchange(receive, send, request_id)
        token = REQUEST_ID.set(request_id)
        self._metrics.started()
        try:
            await self._answer(scope, exchange)
        finally:
            self._finish(scope, exchange, span)
            REQUEST_ID.reset(token)

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.left = True
        except Exception:
            _error_log.exception("%s failed", route_of(scope))
            if exchange.started:
                raise  # the server has to cut the answer short
            await _internal(scope, exchange)
        except CancelledError:
            exchange.left = True
            raise
        else:
            if not exchange.started and not exchange.left:
                _error_log.error("%s gave no answer", route_of(scope))
                await _internal(scope, exchange)

    def _finish(self, scope: Scope, exchange: "_Exchange", span: Span) -> None:
        seconds = time.perf_counter() - exchange.began
        method, route, status = scope["method"], route_of(scope), exchange.status or CLIENT_LEFT
        verb = self._metrics.answered(method, route, status, seconds)
        reason = _REASONS.get(exchange.problem)
        if reason is not None:
            self._metrics.rejected(reason)
        span.set(request_id=exchange.request_id)
        span.end(verb, route, status)
        quiet = scope["path"] in _QUIET and status < 400
        level = logging.DEBUG if quiet else logging.INFO
        if _log.isEnabledFor(level):
            known = {"status": status, "ms": round(seconds * 1000, 2)}
            _log.log(level, "answered", extra=known | _fields(scope, exchange, span))


@dataclass
class _Exchange:
    """One request and its answer, seen from outside."""

    inner_receive: Receive
    inner_send: Send
    request_id: str

    def __post_init__(self) -> None:
        self.began = time.perf_counter()
        self.status: int | None = None
        self.problem = ""
        self.left = False

    @property
    def started(self) -> bool:
        return self.status is not None

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.disconnect":
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
            self._reading = _is_problem(message["headers"])
        elif message["type"] == "http.response.body" and self._reading:
            self._reading = False
            self.problem = _problem_of(message.get("body", b""))
        await self.inner_send(message)

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [(name, value) for name, value in headers if name.lower() != b"x-request-id"]
        return [*kept, (b"x-request-id", self.request_id.encode("ascii"))]


def route_of(scope: Scope) -> str:
    """Give the template of the route that took a request (`/v1/models/{model}/predict`).

    Whatever a caller sends, there are only as many as there are routes, and `UNMATCHED`.
    """
    # FastAPI: the path with the prefixes of the routers around it stands in the route's context;
    # the route itself knows only its own.
    context = scope.get("fastapi", {}).get("effective_route_context")
    for known in (getattr(context, "starlette_route", None), context, scope.get("route")):
        path = getattr(known, "path", None)
        if isinstance(path, str) and path:
            return path
    # Plain routes and mounts leave their endpoint behind.
    endpoint = scope.get("endpoint")
    routes: Iterable[Any] = getattr(scope.get("router"), "routes", ())
    paths = (
        one.path
        for one in routes
        if endpoint is not None
        and endpoint in (getattr(one, "endpoint", None), getattr(one, "app", None))
    )
    return next(paths, UNMATCHED)


async def _internal(scope: Scope, exchange: _Exchange) -> None:
    error = ProblemError(
        "internal",
        "the service failed; its log tells more under this request id",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )
    response = problem_response(error, instance=scope["path"], request_id=exchange.request_id)
    await response(scope, exchange.receive, exchange.send)


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return None


def _is_problem(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    kind = MEDIA_TYPE.encode("ascii")
    return any(
        name.lower() == b"content-type" and value.startswith(kind) for name, value in headers
    )


def _problem_of(body: bytes) -> str:
    if len(body) > _PROBLEM_READ:
        return ""
    try:
        found = json.loads(body).get("type", "")
    except (ValueError, AttributeError):
        return ""
    kind = str(found).rpartition(":")[2]
    return kind if kind in PROBLEMS else ""


def _fields(scope: Scope, exchange: _Exchange, span: Span) -> dict[str, Any]:
    principal = scope["state"].get("principal")
    fields = {
        "method": scope["method"][:16],
        "path": scope["path"][:_PATH_SHOWN],
        "actor": "anonymous" if principal is None else str(getattr(principal, "name", principal)),
        "client": (scope.get("client") or ("",))[0],
        "problem": exchange.problem,
        "trace_id": span.trace_id,
    }
    return {name: value for name, value in fields.items() if value != ""}
