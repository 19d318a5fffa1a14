"""The rivals: how each is started and asked, and the settings of each that are tried."""

import base64
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType

from speed_rows.row import RowSettings

from rwsstore.errors import RwsError
from serve.processes import free_port
from serve.rivals.serving import Options
from serve.server import Asker, Server, environment, form_request, json_request, started
from serve.services import Work

_QUIET = {"BENTOML_DO_NOT_TRACK": "True"}  # no process of a benchmark calls home


class NotInstalledError(RwsError):
    """A rival is not installed; the message says how it is. Its row is left out."""


@dataclass(frozen=True)
class Setup:
    """One way of setting a rival up; the best of several is compared with."""

    batch: int = 1  # most images computed together
    wait_ms: float = 0.0  # how long a batch may wait for more
    spread: bool = False  # a process a thread, with one thread each, instead of one with all

    def __str__(self) -> str:
        layout = "a process a thread" if self.spread else "one process"
        return f"{layout}, batch {self.batch}, wait {self.wait_ms:g} ms"


@dataclass(frozen=True)
class Rival:
    """What users would serve the model with instead."""

    title: str
    against: str  # as in the table of rows
    module: str
    command: Callable[[str, int], list[str]]  # of an interpreter and a port
    ready: str  # path that answers 200 once predictions do
    ask: Asker
    setups: tuple[Setup, ...]


def _ask_litserve(image: bytes, _client: int) -> bytes:
    return json_request("POST", "/predict", {"image_data": base64.b64encode(image).decode()})


def _run_bentoml(python: str, port: int) -> list[str]:
    service = "serve.rivals.bentoml_app:ImageService"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [python, "-m", "bentoml", "serve", service, *address]


RIVALS: Mapping[str, Rival] = MappingProxyType(
    {
        "litserve": Rival(
            title="LitServe",
            against="LitServe with its batching",
            module="litserve",
            command=lambda python, _port: [python, "-m", "serve.rivals.litserve_app"],
            ready="/health",
            ask=_ask_litserve,
            setups=(Setup(16, 10), Setup(32, 50), Setup(8, 5, spread=True)),
        ),
        "bentoml": Rival(
            title="BentoML",
            against="BentoML with its batching",
            module="bentoml",
            command=_run_bentoml,
            ready="/readyz",
            ask=lambda image, _client: form_request("/predict", "images", image),
            setups=(Setup(32, 1000), Setup(16, 1000), Setup(16, 1000, spread=True)),
        ),
        "fastapi": Rival(
            title="FastAPI",
            against="a plain FastAPI service, a lock and a thread",
            module="fastapi",
            command=lambda python, _port: [python, "-m", "serve.rivals.fastapi_app"],
            ready="/health",
            ask=lambda image, _client: form_request("/predict", "image", image),
            setups=(Setup(), Setup(spread=True)),
        ),
    }
)
"""Every rival, by the name that its row ends with."""


def check_installed(rival: Rival, settings: RowSettings) -> None:
    """Make sure that a rival can be started.

    Raises:
        NotInstalledError: it is not installed; with the command that installs it.
    """
    question = f"import importlib.util as u; exit(u.find_spec({rival.module!r}) is None)"
    python = _python(settings)
    try:
        missing = subprocess.run([python, "-c", question], check=False).returncode
    except OSError:  # no such interpreter
        missing = 1
    if missing:
        raise NotInstalledError(
            f"{rival.title} is not installed for {python}. The rivals have an environment of "
            "their own: python3.11 -m venv .venv-rivals && .venv-rivals/bin/pip install -r "
            "benchmarks/requirements-rivals.txt -e . ; then --rivals-python "
            ".venv-rivals/bin/python"
        )


def rival_service(
    rival: Rival, setup: Setup, work: Work, settings: RowSettings
) -> AbstractContextManager[Server]:
    """Start a rival on the work's model.

    Raises:
        BenchmarkError: it did not start.
    """
    port = free_port()
    options = Options(
        model=work.model,
        port=port,
        threads=1 if setup.spread else settings.threads,
        workers=settings.threads if setup.spread else 1,
        batch=setup.batch,
        wait_ms=setup.wait_ms,
    )
    return started(
        f"{rival.title}, {setup}",
        rival.command(_python(settings), port),
        environment=environment(options.threads, **options.to_environment(), **_QUIET),
        log=work.folder / f"{rival.module}-{port}.log",
        port=port,
        ready=rival.ready,
        ask=rival.ask,
    )


def _python(settings: RowSettings) -> str:
    return sys.executable if settings.rivals_python is None else str(settings.rivals_python)
