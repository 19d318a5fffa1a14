"""Which of our files run while the service answers: three requests, traced. `house.py` runs it.

    python scripts/walks.py ROOT

The app is started in this process and called as a server calls it, so that what uvicorn's side
does before and after is left out. A file counts when one of its lines ran between the request and
the end of its answer, on whichever thread; starting the service does not count. Printed as JSON:
for each walk the files in the order in which they first ran, and the most of our frames that
stood on one thread's stack (comprehensions, which newer Pythons inline, are none).
"""

import asyncio
import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_INLINED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
_OURS = ("rwsstore", "service", "clients")
_TOKEN = "a-token-for-the-walk"
_PATCHSET = "/v1/models/bundled/patchset/fog"
_PREDICT = "/v1/models/bundled/predict"
_LONGEST_WAIT = 120.0

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class Tracer:
    """Notes which files of ours run while it listens, on threads begun after `start` too."""

    def __init__(self, root: Path) -> None:
        self._roots = tuple(f"{root / name}{os.sep}" for name in _OURS)
        self._start = len(f"{root}{os.sep}")
        self._seen: dict[str, None] | None = None
        self._depth = 0

    def start(self) -> None:
        """Trace this thread and those that it begins, for good."""
        threading.settrace(self._called)
        sys.settrace(self._called)

    def listen(self) -> None:
        """Forget what was seen; from now on note it."""
        self._depth = 0
        self._seen = {}

    def heard(self) -> dict[str, Any]:
        """What ran since `listen`, which ends here."""
        seen, self._seen = self._seen or {}, None
        files = [name[self._start :] for name in seen]
        return {"files": files, "depth": self._depth}

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if not self._is_ours(frame):
            return None
        if self._seen is not None:
            self._depth = max(self._depth, self._frames(frame))
        return self._ran

    def _ran(self, frame: FrameType, event: str, _argument: object) -> Any:
        seen = self._seen
        if seen is not None and event == "line":
            seen.setdefault(frame.f_code.co_filename)
        return self._ran

    def _frames(self, frame: FrameType | None) -> int:
        number = 0
        while frame is not None:
            number += self._is_ours(frame) and frame.f_code.co_name not in _INLINED
            frame = frame.f_back
        return number

    def _is_ours(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(self._roots)


async def walk(app: App, tracer: Tracer) -> dict[str, Any]:
    """A patch onto the weights, the first time; one image the second time, without and with a set.

    Without one the image meets the active set: the patch of the first walk.
    """
    walks = {}
    async with _started(app):
        tracer.listen()
        await _ask(app, "PUT", _PATCHSET)
        walks["put_patchset"] = tracer.heard()
        for name, query in (("predict", ""), ("predict_with_set", "patchset=fog%3D0.5")):
            await _ask(app, "POST", _PREDICT, _picture(), query)
            tracer.listen()
            await _ask(app, "POST", _PREDICT, _picture(), query)
            walks[name] = tracer.heard()
    return walks


@asynccontextmanager
async def _started(app: App) -> AsyncIterator[None]:
    """The app after its start; stopped at the end."""
    asked: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, asked.get, told.put))
    await asked.put({"type": "lifespan.startup"})
    await _complete(told, "lifespan.startup.complete")
    yield
    await asked.put({"type": "lifespan.shutdown"})
    await _complete(told, "lifespan.shutdown.complete")
    await running


async def _complete(told: "asyncio.Queue[dict[str, str]]", wanted: str) -> None:
    message = await asyncio.wait_for(told.get(), _LONGEST_WAIT)
    if message["type"] != wanted:
        raise RuntimeError(f"the app answered {message}")


async def _ask(app: App, verb: str, path: str, body: bytes = b"", query: str = "") -> None:
    headers = {
        "host": "127.0.0.1",
        "authorization": f"Bearer {_TOKEN}",
        "content-length": str(len(body)),
    }
    if body:
        headers["content-type"] = "image/png"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": verb,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    wanted = [{"type": "http.request", "body": body, "more_body": False}]
    answer: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not wanted:
            await asyncio.Event().wait()  # a client that stays to the end
        return wanted.pop()

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    await asyncio.wait_for(app(scope, receive, send), _LONGEST_WAIT)
    if answer[0]["status"] != 200:
        raise RuntimeError(f"{verb} {path} was answered {answer}")


def _picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 32), "green").save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Start the app of a checkout and walk."""
    root = Path(sys.argv[1]).resolve()
    tracer = Tracer(root)
    tracer.start()
    from rwsstore_service import Settings, create_app

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.of(
            store=Path(folder) / "store",
            state=Path(folder) / "state",
            admin_tokens=f"walker:{_TOKEN}",
            threads=1,
            compute="float32",
        )
        walks = asyncio.run(walk(create_app(settings), tracer))
    print(json.dumps(walks))


if __name__ == "__main__":
    main()
