"""The server as a process: signals, and memory that stays flat (TRUST case 9)."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.wire.peers import PATIENCE, Peer
from tests.service.wire.process import serve

MIB = 2**20

HALF_BODY = b"POST /count HTTP/1.1\r\nHost: here\r\nContent-Length: 8\r\n\r\nhalf"
CHUNKED = b"POST /count HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"

# Its processes are forked from one that has imported everything, and no test's threads.
CONTEXT = multiprocessing.get_context("forkserver")


class Process:
    """A serving process and what it tells."""

    def __init__(self, **settings: float) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        CONTEXT.set_forkserver_preload([serve.__module__])
        self._process = CONTEXT.Process(target=serve, args=(theirs, settings))
        self._process.start()
        theirs.close()
        self.url = self.told().removeprefix("listening on ")

    def told(self) -> str:
        assert self._pipe.poll(PATIENCE)
        return str(self._pipe.recv())

    def go_on(self) -> None:
        self._pipe.send("go on")

    def signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def exit_code(self) -> int | None:
        self._process.join(PATIENCE)
        return self._process.exitcode

    def peak_memory(self) -> int:
        """In bytes, of the resident set."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


@contextmanager
def process(**settings: float) -> Iterator[Process]:
    server = Process(**settings)
    try:
        yield server
    finally:
        server.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_accepted(number: int) -> None:
    with process() as server, Peer(server.url) as idle, Peer(server.url) as slow:
        assert idle.get("/", headers="Content-Length: 0\r\n").status == 200
        slow.send(HALF_BODY)
        assert [server.told() for _ in range(2)] == ["begun /", "begun /count"]
        server.signal(number)
        assert server.told() == "stopping"
        assert idle.rest() == b""
        slow.send(b"half")
        assert slow.answer().body == b"8"
        assert slow.rest() == b""
        assert server.told() == "ended"
        assert server.exit_code() == 0


def test_it_finishes_what_it_computes_and_takes_no_more() -> None:
    with process() as server, Peer(server.url) as idle, Peer(server.url) as peer:
        peer.send(b"GET /compute HTTP/1.1\r\nHost: here\r\n\r\n")
        assert server.told() == "begun /compute"
        server.signal(signal.SIGTERM)
        assert server.told() == "stopping"
        assert idle.rest() == b""  # closed after the listening socket
        with pytest.raises(ConnectionError):
            Peer(server.url)
        server.go_on()
        assert peer.answer().body == b"0"
        assert server.exit_code() == 0


def test_what_is_not_finished_in_time_is_told_so() -> None:
    with process(shutdown_timeout=0.2) as server, Peer(server.url) as peer:
        peer.send(HALF_BODY)
        assert server.told() == "begun /count"
        server.signal(signal.SIGTERM)
        answer = peer.answer()
        assert (answer.status, answer.problem) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert [server.told() for _ in range(2)] == ["stopping", "ended"]
        assert server.exit_code() == 0


def test_a_second_signal_ends_it_hard() -> None:
    with process() as server, Peer(server.url) as peer:
        peer.send(b"GET /compute HTTP/1.1\r\nHost: here\r\n\r\n")
        assert server.told() == "begun /compute"
        server.signal(signal.SIGTERM)
        assert server.told() == "stopping"
        server.signal(signal.SIGTERM)
        assert server.exit_code() == -signal.SIGTERM
        assert peer.closes_at_last()


def pour(peer: Peer, count: int, piece: bytes) -> Callable[[], None]:
    """Send a piece a number of times, whatever the server says, in a thread; join it."""

    def send() -> None:
        try:
            for _ in range(count):
                peer.send(piece)
        except ConnectionError:
            pass

    thread = threading.Thread(target=send)
    thread.start()
    return lambda: thread.join(PATIENCE)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_flat() -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with process() as server:
        with Peer(server.url) as peer:
            peer.send(CHUNKED + (b"8000\r\n" + b"x" * 32_768 + b"\r\n") * 31 + b"0\r\n\r\n")
            assert peer.answer().body == str(31 * 32_768).encode()
        before = server.peak_memory()

        with Peer(server.url) as peer:
            peer.send(b"GET / HTTP/1.1\r\nX: ")
            wait = pour(peer, 50, b"a" * MIB)
            assert peer.answer().problem == "headers-too-large"
            wait()
        with Peer(server.url) as peer:
            peer.send(CHUNKED)
            wait = pour(peer, 4800, chunk)
            answer = peer.answer()
            assert (answer.status, answer.problem) == (413, "too-large")
            wait()
        with Peer(server.url) as peer:
            peer.send(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 300000000\r\n\r\n")
            wait = pour(peer, 4800, b"x" * 65_536)
            assert peer.answer().problem == "too-large"
            wait()
        with Peer(server.url) as peer:
            peer.send(CHUNKED.replace(b"/count", b"/large"))
            wait = pour(peer, 2000, chunk)
            wait()
            peer.send(b"0\r\n\r\n")
            assert peer.answer().body == str(2000 * 65_536).encode()

        assert server.peak_memory() - before < 8 * MIB
