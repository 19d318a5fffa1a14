"""The container's health check, as a process beside a server of its own."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rwsstore_service.healthcheck import is_ready, main


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1), (204, 1)])
def test_ready_is_200_and_nothing_else(status: int, code: int) -> None:
    with answering(status) as port:
        assert main({"RWS_PORT": str(port)}) == code


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost"])
def test_asks_this_machine_wherever_the_service_listens(host: str) -> None:
    with answering(200) as port:
        assert main({"RWS_HOST": host, "RWS_PORT": str(port)}) == 0


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert main({"RWS_PORT": str(taken.getsockname()[1])}) == 1


def test_a_server_that_says_nothing_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not is_ready("127.0.0.1", silent.getsockname()[1], seconds=0.05)


def test_another_protocol_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-nothing\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        assert not is_ready("127.0.0.1", server.getsockname()[1])
        thread.join()


def test_as_the_container_runs_it_without_torch() -> None:
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('rwsstore_service.healthcheck', run_name='__main__')\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules and 'pydantic' not in sys.modules\n"
    )
    with answering(200) as port:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "RWS_PORT": str(port)},
            check=False,
            capture_output=True,
            timeout=60,
        )
    assert (ran.returncode, ran.stderr) == (0, b"")
