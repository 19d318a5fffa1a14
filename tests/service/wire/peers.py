"""A server of ours on a loopback port, and a client that may do everything wrong."""

__all__ = ["Answer", "App", "Peer", "serving"]

import asyncio
import json
import queue
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from rwsstore_service.settings import Settings
from rwsstore_service.wire.server import Server

# No test waits this long unless something is broken.
PATIENCE = 30.0

_BLOCK = b"x" * 65_536


class App:
    """An ASGI app that reads, answers, streams and waits as its path says.

    Attributes:
        events: what happened in it, in order.
        release: lets the requests to /wait go on.
    """

    def __init__(self) -> None:
        self.events: queue.Queue[str] = queue.Queue()
        self.release = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        self.events.put(scope["path"])
        match scope["path"]:
            case "/echo":
                await self._echo(receive, send)
            case "/wait":
                await asyncio.get_running_loop().run_in_executor(None, self.release.wait, PATIENCE)
                await respond(send, b"released")
            case "/big":
                await respond(send, _BLOCK * 512)
            case "/stream":
                await self._stream(receive, send)
            case "/fail":
                raise RuntimeError("as it was asked to")
            case "/break":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                raise RuntimeError("in the middle")
            case path:
                await respond(send, path.encode())

    def next_event(self) -> str:
        return self.events.get(timeout=PATIENCE)

    async def _echo(self, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.events.put("disconnect")
                return
            body += message["body"]
            if not message["more_body"]:
                await respond(send, body)
                return

    async def _stream(self, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(receive())
        while gone.done() and not gone.result().get("more_body", True):
            gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100_000):
            await send({"type": "http.response.body", "body": _BLOCK, "more_body": True})
            await asyncio.sleep(0)
            if gone.done():
                if gone.result()["type"] == "http.disconnect":
                    self.events.put("disconnect")
                    return
                gone = asyncio.ensure_future(receive())


async def live(receive: Receive, send: Send) -> None:
    """The lifespan of an app that has none."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def respond(send: Send, body: bytes, *, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(app: ASGIApp, **settings: Any) -> Iterator[Server]:
    """Serve on a free port, in a thread, until the block ends."""
    announced: queue.Queue[str] = queue.Queue()
    server = Server(app, Settings.of(port=0, **settings), announce=announced.put)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert announced.get(timeout=PATIENCE) == f"listening on {server.url}"
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The kind of problem it is; asserts that it is one."""
        assert self.headers["content-type"] == "application/problem+json"
        value = json.loads(self.body)
        assert value["status"] == self.status
        assert {"title", "detail", "instance", "request_id"} <= set(value)
        return str(value["type"]).removeprefix("urn:rwsstore:problem:")


class Peer:
    """A client's end of one connection, byte by byte."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect((host, int(port)))
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str, *, headers: str = "") -> Answer:
        self.send(f"GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
        return self.answer()

    def trickle(self, pieces: Iterable[bytes]) -> bool:
        """Send a piece at a time; stop when the server says something. Whether it did."""
        for piece in pieces:
            if select.select([self.socket], [], [], 0.02)[0]:
                return True
            self.send(piece)
        return False

    def answer(self, *, head: bool = False) -> Answer:
        """Read one response."""
        status = int(self.file.readline().split(b" ")[1])
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if head else int(headers.get("content-length", 0))
        return Answer(status, headers, self.file.read(length))

    def rest(self) -> bytes:
        """Read to the end; the server must close properly, without a reset."""
        return self.file.read()

    def closes_at_last(self) -> bool:
        """Whether the server closes, properly or not; throws away what comes before."""
        try:
            while self.file.read(1_000_000):
                pass
        except ConnectionError:
            pass
        return True
