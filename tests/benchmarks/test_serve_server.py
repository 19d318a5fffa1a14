"""A service as the benchmark sees it, and the turns that sides take."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serve.processes import BenchmarkError, free_port
from serve.rest import take_turns
from serve.server import Server, body_request, environment, started

# Answers GET at once, and POST with the body's first letter as the status: 2 for 200, 5 for 500.
SERVICE = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(200)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(100 * int(body[:1]))
    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"true")
    def log_message(self, *_): print("asked", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def a_service(folder: Path, code: str = SERVICE) -> Iterator[Server]:
    port = free_port()
    with started(
        "tiny",
        [sys.executable, "-c", code, str(port)],
        environment=os.environ,
        log=folder / "log",
        port=port,
        ready="/ready",
        ask=lambda image, _client: body_request("POST", "/", image, "image/jpeg"),
    ) as server:
        yield server


def test_a_service_is_asked_measured_and_ended(tmp_path: Path) -> None:
    with a_service(tmp_path) as server:
        assert server.answer(b"2") is True
        load = server.load([b"2", b"2!"], clients=2, seconds=0.2)
        assert load.answers > 0
        assert load.seconds == 0.2
    assert server.child.process.returncode is not None


def test_errors_are_not_counted_but_raised_with_the_log(tmp_path: Path) -> None:
    with a_service(tmp_path) as server:
        with pytest.raises(BenchmarkError, match=r"(?s)\(tiny\) answered 500.*asked"):
            server.answer(b"5")
        with pytest.raises(BenchmarkError, match=r"(?s)\(tiny\) answered .*'500': .*asked"):
            server.load([b"2", b"5"], clients=1, seconds=0.1)


def test_one_that_does_not_start_is_an_error_with_its_log(tmp_path: Path) -> None:
    expected = pytest.raises(BenchmarkError, match=r"(?s)ended with 1.*no such port")
    with expected, a_service(tmp_path, "exit('no such port')"):
        pytest.fail("it did not start")


def test_a_service_gets_no_settings_of_ours_but_threads_and_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RWS_PORT", "1")
    monkeypatch.setenv("SOMETHING", "else")
    found = environment(3, RWS_STORE="here")
    assert found["SOMETHING"] == "else"
    assert found["RWS_STORE"] == "here"
    assert "RWS_PORT" not in found
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"


def test_sides_take_turns_in_changing_order() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = take_turns(3, {"a": lambda: side("a"), "b": lambda: side("b")})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": (1.0, 4.0, 5.0), "b": (2.0, 3.0, 6.0)}
