"""A service as a benchmark sees it: started, asked, measured, paused, ended."""

import json
import os
import pickle
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from serve.load import Load, Plan
from serve.processes import BenchmarkError, Child

Asker = Callable[[bytes, int], bytes]
"""Makes the request for an image (a JPEG file) that a client, by number, sends."""

_LOAD = Path(__file__).with_name("load.py")
_RAMP = 0.1  # of a window, before it: connections open, batches form
_PATIENCE = 90.0  # seconds beyond its window that the load may take


def body_request(
    method: str, path: str, body: bytes, kind: str, *, headers: tuple[str, ...] = ()
) -> bytes:
    """Make a request with a body of a media type."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_request(method: str, path: str, value: object, *, headers: tuple[str, ...] = ()) -> bytes:
    """Make a request with a JSON body."""
    body = json.dumps(value).encode()
    return body_request(method, path, body, "application/json", headers=headers)


def form_request(path: str, field: str, image: bytes) -> bytes:
    """Make a request with one JPEG as a file of a form."""
    boundary = "jpeg-follows-0123456789"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="image.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    return body_request("POST", path, body, f"multipart/form-data; boundary={boundary}")


@dataclass(frozen=True)
class Server:
    """A service that runs, on 127.0.0.1; its process is paused while it is not asked."""

    name: str
    child: Child
    port: int
    ask: Asker

    def answer(self, image: bytes) -> Any:
        """Ask once, as the first client; the answer's JSON.

        Raises:
            BenchmarkError: the status is not 200.
        """
        with (
            self.child.awake(),
            socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE) as line,
        ):
            line.sendall(self.ask(image, 0))
            answer = HTTPResponse(line)
            answer.begin()
            body = answer.read()
        if answer.status != HTTPStatus.OK:
            raise self.child.failure(f"({self.name}) answered {answer.status}: {body[:500]!r}")
        return json.loads(body)

    def load(
        self,
        images: Sequence[bytes],
        *,
        clients: int,
        seconds: float,
        paced: Sequence[bytes] = (),
        rate: float = 0.0,
    ) -> Load:
        """Let clients ask in a closed loop, and say what was answered.

        Each client sends all images in turn, and begins elsewhere; the seconds are counted after
        a tenth more that is not. Paced requests are those of one more connection, at their rate.

        Raises:
            BenchmarkError: a request was not answered with 200.
        """
        plan = Plan(
            port=self.port,
            clients=tuple(
                tuple(self.ask(image, client) for image in _from(images, client))
                for client in range(clients)
            ),
            warm_up=_RAMP * seconds,
            seconds=seconds,
            paced=tuple(paced),
            rate=rate,
        )
        with self.child.awake():
            found = drive(plan)
        if found.errors or not found.answers:
            raise self.child.failure(f"({self.name}) answered {found.answers}, {found.errors}")
        return found


def drive(plan: Plan) -> Load:
    """Run the load in a process of its own.

    Raises:
        BenchmarkError: the load itself failed.
    """
    patience = plan.warm_up + plan.seconds + _PATIENCE
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_LOAD)],
            input=pickle.dumps(asdict(plan)),
            capture_output=True,
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the load did not end within {patience:g} s") from None
    if done.returncode:
        raise BenchmarkError(f"the load failed:\n{done.stderr.decode()}")
    return Load(**json.loads(done.stdout))


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    port: int,
    ready: str,
    ask: Asker,
) -> Iterator[Server]:
    """Start a service, wait until its ready path answers 200, pause it; it ends with the block.

    Raises:
        BenchmarkError: it did not start.
    """
    url = f"http://127.0.0.1:{port}{ready}"
    with Child(command, environment=environment, log=log) as child:
        child.wait_until(lambda: _answers(url))
        child.pause()
        yield Server(name, child, port, ask)


def environment(threads: int, **variables: str) -> dict[str, str]:
    """Make a process's environment: this one's without settings of the service, and threads.

    Args:
        threads: for OpenMP and MKL, which start them before torch is asked.
        variables: on top.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RWS_")}
    given = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), given]))
    number = str(threads)
    limits = {"OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number}
    return {**inherited, "PYTHONPATH": path, **limits, **variables}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def _from(images: Sequence[bytes], client: int) -> list[bytes]:
    first = 7 * client % len(images)
    return [*images[first:], *images[:first]]
