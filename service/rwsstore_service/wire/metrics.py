"""What the service counts and measures, for Prometheus."""

import logging
import platform
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

import rwsstore
from rwsstore.errors import UnknownNameError

Outcome = Literal["done", "refused", "failed", "unchanged"]
Reason = Literal[
    "forbidden",
    "misdirected",
    "overloaded",
    "rate_limited",
    "request_timeout",
    "too_large",
    "unauthorized",
    "unsupported_media",
]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
REASONS: tuple[Reason, ...] = get_args(Reason)
METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
UNMATCHED = "unmatched"
"""The route of a request that no route took, or that was refused before."""

# From a cached variant on a fast machine to a queue about to be given up on a slow one.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_log = logging.getLogger(__name__)


class Metrics:
    """The metrics of one app, in a registry of its own.

    Every label has a fixed, small set of values: templates of routes, standard methods, the served
    models. Nothing that a request carries (a path, the name of a patch) becomes one.

    Args:
        actions: changes that there are; each is shown from the start, at zero.
        dropped: reasons for not computing a prediction that waited; likewise.
    """

    def __init__(self, actions: Iterable[str] = (), dropped: Iterable[str] = ()) -> None:
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
            status: of the answer; 499 if the client left before there was one.
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

    def rejected(self, reason: Reason) -> None:
        """Count a refused request."""
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
        """Tell what is served under a name.

        Args:
            model: the served name.
            network: of it.
            weights: fingerprint of the clean ones.
            compute: the compute format in use.
        """
        self._model.labels(model).info({"network": network, "weights": weights, "compute": compute})

    def watch(self, name: str, read: Callable[[], float], *, model: str | None = None) -> None:
        """Let a gauge ask for its value whenever it is read.

        Args:
            name: queue_depth, or variants_resident with its model.
            read: must be quick and may be called from any thread. Should it fail, the gauge is NaN
                and the failure is logged; the other metrics are read all the same.
            model: the served name, for variants_resident.

        Raises:
            UnknownNameError: there is no such gauge.
        """
        if name == "queue_depth":
            gauge = self._depth
        elif name == "variants_resident" and model is not None:
            gauge = self._variants.labels(model)
        else:
            raise UnknownNameError("gauge to watch", name, ("queue_depth", "variants_resident"))
        gauge.set_function(lambda: _value(name, read))

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Write all metrics.

        Args:
            accept: the header of the request; OpenMetrics where it asks for it, else plain text.

        Returns:
            the body and its content type.
        """
        families = _Families(self.registry)
        # Of our own choosing: the library repeats the header's version in its content type.
        if "application/openmetrics-text" in (accept or ""):
            body = openmetrics.generate_latest(families)  # type: ignore[no-untyped-call]  # it has none
            return body, _OPENMETRICS
        return generate_latest(families), CONTENT_TYPE_PLAIN_0_0_4


class _Families:
    """A registry without the time at which each counter was made, a second series for each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family


def _value(name: str, read: Callable[[], float]) -> float:
    try:
        return float(read())
    except Exception:
        _log.exception("cannot read %s", name)
        return float("nan")
