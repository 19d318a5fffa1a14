"""What is seen of each request: an id, a line in the log, counts for Prometheus, a span."""

import logging
import platform
import random
import re
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import rwsstore
from rwsstore.errors import MissingExtraError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import HEALTH_PATHS, send_problem
from rwsstore_service.wire.logs import REQUEST_ID
from rwsstore_service.wire.problems import ProblemError

if TYPE_CHECKING:
    from rwsstore_service.wire.otel import OtelSpan, OtelTracer

Outcome = Literal["done", "refused", "failed", "unchanged"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
REASONS = (
    "forbidden",
    "misdirected",
    "overloaded",
    "rate_limited",
    "request_timeout",
    "too_large",
    "unauthorized",
    "unsupported_media",
)
"""Problems that count as refused requests, as labels are written."""

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
UNMATCHED = "unmatched"
"""The route of a request that no route took, or that was refused before."""

CLIENT_LEFT = 499
"""Stands for the status of a request whose client left before there was one."""

# From a cached variant on a fast machine to a queue about to be given up on a slow one.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = HEALTH_PATHS | {"/metrics"}
_PATH_SHOWN = 256

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("rwsstore_service.access")


class Metrics:
    """The metrics of one app, in a registry of its own.

    Every label has a fixed, small set of values: templates of routes, standard methods, the served
    models. Nothing that a request carries (a path, the name of a patch) becomes one.

    Args:
        actions: changes that there are; each is shown from the start, at zero.
        dropped: reasons for not computing a prediction that waited; likewise.
    """

    def __init__(self, actions: Iterable[str] = (), dropped: Iterable[str] = ()) -> None:
        # Else a second series for each, of when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has none
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="rwsstore", registry=self.registry)
        PlatformCollector(registry=self.registry)
        counter = partial(Counter, namespace="rwsstore", registry=self.registry)
        gauge = partial(Gauge, namespace="rwsstore", registry=self.registry)
        info = partial(Info, namespace="rwsstore", registry=self.registry)
        histogram = partial(Histogram, namespace="rwsstore", registry=self.registry)
        seconds, sizes = partial(histogram, buckets=_SECONDS), partial(histogram, buckets=_SIZES)

        self._requests = counter("requests", "Requests answered.", ("method", "route", "status"))
        self._request_seconds = seconds(
            "request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ("route",),
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._in_flight = gauge("requests_in_flight", "Requests being answered.")
        self._rejected = counter("rejected", "Requests refused, by reason.", ("reason",))

        self._queue = seconds("queue_seconds", "Seconds that a prediction waited.")
        self._decode = seconds("decode_seconds", "Seconds to decode a request's images.")
        self._compute = seconds("compute_seconds", "Seconds to compute a request's batch.")
        self._batch_images = sizes("batch_images", "Images computed together.")
        self._batch_requests = sizes("batch_requests", "Requests computed together.")
        self._batch_patch_sets = sizes(
            "batch_patch_sets", "Different patch sets computed together."
        )
        self._images = counter("images", "Images predicted.")
        self._depth = gauge("queue_depth", "Requests that wait to be computed.")
        self._dropped = counter(
            "dropped", "Requests that waited and were not computed.", ("reason",)
        )

        self._generation = gauge("active_generation", "Number of the active patch set.", ("model",))
        self._patches = gauge("active_patches", "Patches in the active patch set.", ("model",))
        self._variants = gauge("variants_resident", "Patched models kept ready.", ("model",))
        self._changes = counter(
            "patch_changes", "Changes of patch set and store, by outcome.", ("action", "outcome")
        )
        self._model = info("model", "The clean model.", ("model",))
        build = info("build", "The program.")
        build.info({"version": rwsstore.__version__, "python": platform.python_version()})

        for reason in REASONS:
            self._rejected.labels(reason)
        for why in dropped:
            self._dropped.labels(why)
        for action, outcome in product(actions, OUTCOMES):
            self._changes.labels(action, outcome)

    def started(self) -> None:
        """Count a request in."""
        self._in_flight.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> str:
        """Count a request out.

        Args:
            method: as it was sent; any but the standard ones is "other".
            route: the template of its route, or `UNMATCHED`.
            status: of the answer; `CLIENT_LEFT` if there was none.
            seconds: that it took.

        Returns:
            the method as it was counted.
        """
        self._in_flight.dec()
        verb = method if method in METHODS else "other"
        key = (verb, route, status)
        known = self._answered.get(key)
        if known is None:  # finding series by their labels takes longer than counting
            known = self._answered[key] = (
                self._requests.labels(verb, route, str(status)),
                self._request_seconds.labels(route),
            )
        count, seconds_of_route = known
        count.inc()
        seconds_of_route.observe(seconds)
        return verb

    def rejected(self, reason: str) -> None:
        """Count a refused request, by one of `REASONS`."""
        self._rejected.labels(reason).inc()

    def predicted(
        self, *, queued: float, decoded: float | None, computed: float, images: int
    ) -> None:
        """Count a prediction.

        Args:
            queued: seconds that it waited.
            decoded: seconds to decode its images; None where it brought arrays.
            computed: seconds that its batch took.
            images: in it.
        """
        self._queue.observe(queued)
        if decoded is not None:
            self._decode.observe(decoded)
        self._compute.observe(computed)
        self._images.inc(images)

    def batch(self, *, images: int, requests: int, patch_sets: int) -> None:
        """Count a batch: what was in it, and how many patch sets that wanted."""
        self._batch_images.observe(images)
        self._batch_requests.observe(requests)
        self._batch_patch_sets.observe(patch_sets)

    def dropped(self, why: str) -> None:
        """Count a request that waited and was not computed."""
        self._dropped.labels(why).inc()

    def changed(self, action: str, outcome: Outcome) -> None:
        """Count a change of the patch set or the store, also one that came to nothing."""
        self._changes.labels(action, outcome).inc()

    def generation(self, model: str, number: int, patches: int) -> None:
        """Tell which patch set is active, and how many patches are in it."""
        self._generation.labels(model).set(number)
        self._patches.labels(model).set(patches)

    def model(self, model: str, *, network: str, weights: str, compute: str) -> None:
        """Tell what is served under a name: network, fingerprint of the weights, format."""
        self._model.labels(model).info({"network": network, "weights": weights, "compute": compute})

    def watch(
        self, model: str, *, waiting: Callable[[], float], resident: Callable[[], float]
    ) -> None:
        """Ask how many predictions wait and how many variants are kept, whenever that is read.

        Both must be quick and may be called from any thread. Should one fail, its gauge is NaN and
        the failure is logged; the other metrics are read all the same.
        """

        def value(name: str, read: Callable[[], float]) -> float:
            try:
                return float(read())
            except Exception:
                _log.exception("cannot read %s", name)
                return float("nan")

        self._depth.set_function(lambda: value("queue_depth", waiting))
        self._variants.labels(model).set_function(lambda: value("variants_resident", resident))

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Write all metrics; give the body and its content type.

        Args:
            accept: the header of the request; OpenMetrics where it asks for it, else plain text.
        """
        # Of our own choosing: the library repeats the header's version in its content type.
        if "application/openmetrics-text" in (accept or ""):
            body = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # it has none
            return body, _OPENMETRICS
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4


def tracer_of(settings: Settings) -> "OtelTracer | None":
    """Make the tracer that the settings ask for; OpenTelemetry is imported only if they do.

    Raises:
        MissingExtraError: a collector is named and the extra `tracing` is not installed.
    """
    if settings.tracing_endpoint is None:
        return None
    try:
        from rwsstore_service.wire.otel import OtelTracer, otlp_exporter
    except ImportError as error:
        raise MissingExtraError("tracing", "tracing") from error
    return OtelTracer(otlp_exporter(settings.tracing_endpoint))


class RequestContext:
    """Middleware around the whole app.

    It leaves `request_id` (also in `REQUEST_ID`) and `span` (None without a tracer) in
    `scope["state"]`, sends the id back as X-Request-ID, and turns what escapes the app into a
    problem.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: "OtelTracer | None" = None) -> None:
        self._app, self._metrics, self._tracer = app, metrics, tracer
        # Ids tell requests apart, they keep no secret: no system call for each.
        self._ids = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        if len(given) == 1 and _ID.fullmatch(given[0]):
            request_id = given[0].decode("ascii")
        else:
            request_id = f"{self._ids.getrandbits(64):016x}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["span"] = self._tracer and self._tracer.request(scope["headers"])
        exchange = _Exchange(receive, send, request_id)
        token = REQUEST_ID.set(request_id)
        self._metrics.started()
        try:
            await self._answer(scope, exchange)
        finally:
            self._finish(scope, exchange)
            REQUEST_ID.reset(token)

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.left = True
        except Exception:
            _log.exception("%s failed", route_of(scope))
            if exchange.status is not None:
                raise  # the server has to cut the answer short
            await self._fail(scope, exchange)
        except CancelledError:
            exchange.left = True
            raise
        else:
            if exchange.status is None and not exchange.left:
                _log.error("%s gave no answer", route_of(scope))
                await self._fail(scope, exchange)

    async def _fail(self, scope: Scope, exchange: "_Exchange") -> None:
        error = ProblemError(
            "internal",
            "the service failed; its log tells more under this request id",
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )
        await send_problem(error, scope, exchange.receive, exchange.send)

    def _finish(self, scope: Scope, exchange: "_Exchange") -> None:
        seconds = time.perf_counter() - exchange.began
        state, route, status = scope["state"], route_of(scope), exchange.status or CLIENT_LEFT
        verb = self._metrics.answered(scope["method"], route, status, seconds)
        problem = state.get("problem", "")
        reason = problem.replace("-", "_")
        if reason in REASONS:
            self._metrics.rejected(reason)
        span: OtelSpan | None = state["span"]
        if span is not None:
            span.set(request_id=exchange.request_id)
            span.end(verb, route, status)
        level = logging.DEBUG if scope["path"] in _QUIET and status < 400 else logging.INFO
        if not _access_log.isEnabledFor(level):
            return
        principal = state.get("principal")
        fields = {
            "method": scope["method"][:16],
            "path": scope["path"][:_PATH_SHOWN],
            "actor": "anonymous" if principal is None else principal.name,
            "client": (scope.get("client") or ("",))[0],
            "problem": problem,
            "trace_id": "" if span is None else span.trace_id,
        }
        known = {"status": status, "ms": round(seconds * 1000, 2)}
        known |= {name: value for name, value in fields.items() if value != ""}
        _access_log.log(level, "answered", extra=known)


@dataclass
class _Exchange:
    """One request and its answer, seen from outside; no status is no answer yet."""

    inner_receive: Receive
    inner_send: Send
    request_id: str

    def __post_init__(self) -> None:
        self.began = time.perf_counter()
        self.status: int | None = None
        self.left = False

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.disconnect":
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self.request_id.encode("ascii"))
            given = message.get("headers", ())
            kept = [header for header in given if header[0].lower() != own[0]]
            message = {**message, "headers": [*kept, own]}
        await self.inner_send(message)


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
