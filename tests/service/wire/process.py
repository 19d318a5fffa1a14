"""A server as a process of its own, for tests of signals and of memory."""

__all__ = ["serve"]

import asyncio
from multiprocessing.connection import Connection
from typing import Any

from starlette.types import Receive, Scope, Send

from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import BodyLimit
from rwsstore_service.wire.server import run
from tests.service.wire.peers import live, respond


class Counter:
    """An ASGI app that counts a body's bytes, or computes until it is told to go on."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            self._pipe.send("ended")
            return
        self._pipe.send(f"begun {scope['path']}")
        if scope["path"] == "/compute":
            await asyncio.get_running_loop().run_in_executor(None, self._pipe.recv)
        count, more = 0, True
        while more:
            message = await receive()
            count, more = count + len(message.get("body", b"")), message.get("more_body", False)
        await respond(send, str(count).encode())


def serve(pipe: Connection, settings: dict[str, Any]) -> None:
    """Serve; everything that happens is told through the pipe."""
    run(
        BodyLimit(Counter(pipe), lambda scope: 2**30 if scope["path"] == "/large" else 2**20),
        Settings.of(port=0, **settings),
        announce=pipe.send,
        on_stopping=lambda: pipe.send("stopping"),
    )
