"""Rows over HTTP: measured by the package `serve`, which is imported when one is wanted."""

__all__ = ["ROWS", "clients_curve", "has_service"]

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from speed_rows.row import Curve, Finding, Row, RowSettings

if TYPE_CHECKING:
    from serve import Settings


def has_service() -> bool:
    """Whether the service is installed here."""
    return importlib.util.find_spec("rwsstore_service") is not None


def _settings(
    settings: RowSettings, tell: Callable[[str], None] = lambda _line: None
) -> "Settings":
    from serve import Settings

    if settings.smoke:
        return Settings.for_smoke(rivals_python=settings.rivals_python, tell=tell)
    return Settings(
        threads=settings.threads,
        repeats=settings.rest_repeats,
        seconds=settings.seconds,
        width=settings.width,
        clients=settings.clients,
        rivals_python=settings.rivals_python,
        tell=tell,
    )


def _measure(settings: RowSettings, *, name: str) -> Finding:
    import serve

    lines: list[str] = []
    ratio = serve.ROWS[name](_settings(settings, lines.append))
    return Finding(ratio, details={"lines": lines})


def clients_curve(settings: RowSettings) -> Curve:
    """The service's answers a second and latencies, by the number of clients."""
    import serve

    return {
        str(point.clients): {
            "per_second": point.throughput,
            "p50_ms": point.p50,
            "p99_ms": point.p99,
        }
        for point in serve.clients_growth(_settings(settings))
    }


_RIVAL = "unpatched predictions over REST, 16 clients"

ROWS = tuple(
    Row(name, what, against, required, partial(_measure, name=name))
    for name, what, against, required in (
        (
            "rest_vs_ceiling",
            "REST, 16 clients, one 32×32 JPEG a request, each its own patch set",
            "the in-process batch ceiling of the same model",
            "≥ 0.6",
        ),
        ("rest_vs_litserve", _RIVAL, "LitServe with its batching", "> 1"),
        ("rest_vs_bentoml", _RIVAL, "BentoML with its batching", "> 1"),
        ("rest_vs_fastapi", _RIVAL, "a plain FastAPI service, a lock and a thread", "> 1"),
        (
            "p99_under_changes",
            "p99 latency while patch sets change 20 times a second",
            "without changes",
            "≤ 1.3",
        ),
    )
)
