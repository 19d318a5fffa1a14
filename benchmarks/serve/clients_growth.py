"""How the service bears more clients: the part of the row `growth` that is about them."""

__all__ = ["CLIENTS", "ClientsPoint", "clients_growth"]

from contextlib import ExitStack
from dataclasses import dataclass

from serve.own import ask_own_patch, own_service
from serve.rest import warm
from serve.settings import Settings
from serve.work import make_work

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
"""How many clients there are at the points of the curve."""

_SMOKE = (1, 4)


@dataclass(frozen=True)
class ClientsPoint:
    """One point of the curve.

    Attributes:
        clients: each with a patch set of its own, in a closed loop.
        throughput: answers a second.
        p50: median latency, in milliseconds.
        p99: 99th percentile of latency, in milliseconds.
    """

    clients: int
    throughput: float
    p50: float
    p99: float


def clients_growth(settings: Settings) -> tuple[ClientsPoint, ...]:
    """Measure the service with more and more clients."""
    counts = _SMOKE if settings.smoke else CLIENTS
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=max(counts)))
        server = stack.enter_context(own_service(work, settings, ask=ask_own_patch(work)))
        warm(server, work, settings)
        loads = [
            server.load(work.images, clients=count, seconds=settings.seconds) for count in counts
        ]
    return tuple(
        ClientsPoint(count, load.throughput, load.p50, load.p99)
        for count, load in zip(counts, loads, strict=True)
    )
