"""The part of the benchmark that goes over REST: services as processes, and the load on them."""

__all__ = [
    "ROWS",
    "BenchmarkError",
    "ClientsPoint",
    "NotInstalledError",
    "Settings",
    "clients_growth",
]

from collections.abc import Callable, Mapping
from types import MappingProxyType

from rwsstore.speed import Ratio
from serve.changes import p99_under_changes
from serve.clients_growth import ClientsPoint, clients_growth
from serve.errors import BenchmarkError, NotInstalledError
from serve.rest import rest_vs_bentoml, rest_vs_ceiling, rest_vs_fastapi, rest_vs_litserve
from serve.settings import Settings

ROWS: Mapping[str, Callable[[Settings], Ratio]] = MappingProxyType(
    {
        row.__name__: row
        for row in (
            rest_vs_ceiling,
            rest_vs_litserve,
            rest_vs_bentoml,
            rest_vs_fastapi,
            p99_under_changes,
        )
    }
)
"""The rows by name."""
