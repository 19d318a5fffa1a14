"""Our service as a process: `rws serve` on a free port of this machine."""

__all__ = ["COMPUTE_VARIABLE", "OWN_FORMAT", "TOKEN", "ask_active", "ask_own_patch", "own_service"]

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from serve.asking import body_request
from serve.processes import free_port
from serve.server import Asker, Server, environment, started
from serve.settings import Settings
from serve.work import MODEL_NAME, Work

COMPUTE_VARIABLE = "RWS_COMPUTE"
"""The service's setting for the compute format."""

OWN_FORMAT = "packed"
"""The float32 format that our service is measured in."""

TOKEN = "a-token-of-the-benchmark"
"""Of whoever changes patches."""

_PREDICT = f"/v1/models/{MODEL_NAME}/predict"
_AT_ONCE = "256"  # requests that may be there, more than clients ever are


def ask_active(image: bytes, _client: int) -> bytes:
    """Ask for a prediction with the active patch set."""
    return body_request("POST", _PREDICT, image, "image/jpeg")


def ask_own_patch(work: Work) -> Asker:
    """Give each client a patch set of its own: one patch, with full strength."""

    def ask(image: bytes, client: int) -> bytes:
        patchset = quote(f"{work.patches[client]}=1.0", safe="")
        return body_request("POST", f"{_PREDICT}?patchset={patchset}", image, "image/jpeg")

    return ask


@contextmanager
def own_service(
    work: Work, settings: Settings, *, ask: Asker = ask_active, compute: str = OWN_FORMAT
) -> Iterator[Server]:
    """Start `rws serve` on the work's model and store.

    Args:
        work: model and patches.
        settings: for the threads.
        ask: which patch set the clients ask for.
        compute: name of the compute format.

    Raises:
        BenchmarkError: it did not start.
    """
    port = free_port()
    variables = {
        "RWS_MODEL": str(work.model),
        "RWS_STORE": str(work.store),
        "RWS_STATE": str(work.folder / f"state-{port}"),
        "RWS_PORT": str(port),
        "RWS_ADMIN_TOKENS": f"bench:{TOKEN}",
        "RWS_THREADS": str(settings.threads),
        "RWS_RATE_LIMIT": "0",
        "RWS_MAX_REQUESTS": _AT_ONCE,
        "RWS_QUEUE_SIZE": _AT_ONCE,
        "RWS_LOG_LEVEL": "warning",
        COMPUTE_VARIABLE: compute,
    }
    with started(
        f"rwsstore, {compute}",
        [sys.executable, "-m", "rwsstore", "serve"],
        environment=environment(settings.threads, **variables),
        log=work.folder / f"own-{port}.log",
        port=port,
        ready="/readyz",
        ask=ask,
    ) as server:
        yield server
