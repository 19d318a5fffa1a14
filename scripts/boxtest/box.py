"""One box under a project name of its own."""

__all__ = ["Box"]

import json
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from rwsstore_service.healthcheck import is_ready
from scripts.boxtest.engine import Failed, docker, run

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.1


class Box:
    """The compose file, brought up beside whatever else runs on this machine.

    Args:
        image: its tag.
        compose: the command of Compose.
    """

    def __init__(self, image: str, compose: list[str]) -> None:
        self.image = image
        self.project = f"rws-box-test-{secrets.token_hex(4)}"
        self.port = _free_port()
        self.token = secrets.token_urlsafe(32)
        self._compose = compose
        self._environment = {
            "RWS_IMAGE": image,
            "RWS_PORT": str(self.port),
            "RWS_ADMIN_TOKENS": f"box-test:{self.token}",
            "RWS_PREDICT_TOKENS": "",
        }

    @property
    def url(self) -> str:
        """Where the service is."""
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run a Compose command on this box."""
        command = [*self._compose, "--project-name", self.project, *arguments]
        done = run(command, environment=self._environment, seconds=180, check=check)
        return done.stdout + done.stderr

    def up(self) -> float:
        """Start it; say after how many seconds it was ready."""
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build")
        self.wait_ready()
        return time.monotonic() - began

    def down(self) -> None:
        """Remove containers, network and volumes."""
        self.compose("down", "--volumes", "--timeout", "5")

    def start(self) -> None:
        """Start the stopped container and wait until it is ready."""
        self.compose("start", "rwsstore")
        self.wait_ready()

    def kill_soon(self, seconds: float) -> threading.Timer:
        """Kill the service as a power cut would, so many seconds from now."""
        timer = threading.Timer(seconds, docker, ("kill", "--signal", "KILL", self.container()))
        timer.start()
        return timer

    def back_up(self, file: Path) -> None:
        """Write all that the stopped service stored into a file."""
        with file.open("wb") as target:
            self._pipe("tar", "czf", "-", "-C", "/data", ".", stdout=target)

    def restore(self, file: Path) -> None:
        """Put what `back_up` wrote into the empty volume of a service that is stopped."""
        with file.open("rb") as source:
            self._pipe("tar", "xzf", "-", "-C", "/data", stdin=source)

    def container(self) -> str:
        """The id of the service's container."""
        return self.compose("ps", "--quiet", "rwsstore").strip().splitlines()[-1]

    def inspect(self) -> dict[str, Any]:
        """What the engine knows about the service's container."""
        found: dict[str, Any] = json.loads(docker("inspect", self.container()))[0]
        return found

    def run_inside(self, *command: str, check: bool = True) -> str:
        """Run a command in the service's container."""
        return docker("exec", self.container(), *command, check=check)

    def wait_ready(self) -> None:
        """Wait for /readyz.

        Raises:
            Failed: it was not ready in time; with the last lines of its log.
        """
        end = time.monotonic() + _READY_SECONDS
        while not is_ready("127.0.0.1", self.port, seconds=2.0):
            if time.monotonic() > end:
                raise Failed(f"not ready after {_READY_SECONDS:.0f} s:\n{self.log()}")
            time.sleep(_POLL_SECONDS)

    def wait_healthy(self) -> None:
        """Wait until the engine's own health check says so.

        Raises:
            Failed: it said something else, or nothing in time.
        """
        end = time.monotonic() + _READY_SECONDS
        while (status := self.inspect()["State"]["Health"]["Status"]) != "healthy":
            if status == "unhealthy" or time.monotonic() > end:
                raise Failed(f"the container's health is {status}:\n{self.log()}")
            time.sleep(_POLL_SECONDS)

    def log(self) -> str:
        """The last lines of the service's log."""
        return self.compose("logs", "--no-color", "--tail", "30", "rwsstore", check=False)

    def _pipe(
        self, *command: str, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> None:
        """Run a command beside the service, on its volume."""
        compose = [*self._compose, "--project-name", self.project]
        run(
            [*compose, "run", "--rm", "-T", "--no-deps", "rwsstore", *command],
            environment=self._environment,
            stdin=stdin,
            stdout=stdout,
        )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
