"""The process that serves: a socket, uvicorn with our protocol, and an orderly end."""

import asyncio
import gc
import logging
import math
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore.errors import ConfigError, RwsError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.limits import CLOSE, send_problem
from rwsstore_service.wire.problems import ProblemError
from rwsstore_service.wire.protocol import protocol_of

_BACKLOG = 2048
_OTHER_FILES = 256  # of the store, libraries, logs, connections that wait to be refused

_log = logging.getLogger(__name__)


def run(
    app: ASGIApp,
    settings: Settings,
    *,
    announce: Callable[[str], None],
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted within `shutdown_timeout`.

    A second signal ends the process at once.

    Args:
        app: any ASGI app with a lifespan.
        settings: where to listen, and every limit.
        announce: is told "listening on http://127.0.0.1:8000" once requests are answered.
        on_stopping: called in the event loop as soon as the service is told to stop.

    Raises:
        ConfigError: the address cannot be listened on, or there are fewer files than connections.
        Exception: whatever the app's start-up failed with.
    """
    Server(app, settings, announce=announce, on_stopping=on_stopping).run()


def bind(settings: Settings) -> socket.socket:
    """Listen on `host` and `port`; a name with several addresses is served on one, IPv4 first.

    Raises:
        ConfigError: the port is taken, or the address is not this machine's.
    """
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"RWS_HOST: {host!r} is not an address ({error.strerror})") from None
    family, kind, protocol, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}. Stop what listens there, or "
            "choose another address of this machine with --host or another port with --port "
            "(RWS_HOST, RWS_PORT); port 0 takes a free one"
        ) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn with our protocol, our socket and our errors; listens from the start (see `run`)."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        announce: Callable[[str], None],
        on_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        _allow_files(settings.max_connections + _OTHER_FILES)
        self._edge = _Edge(app)
        self._announce, self._on_stopping = announce, on_stopping
        self._loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            self._edge,
            http=protocol_of(settings),
            ws="none",
            loop="asyncio",
            interface="asgi3",
            lifespan="on",
            workers=1,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout),
        )
        super().__init__(config)
        self._listener = bind(settings)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        with self._listener:
            super().run(sockets or [self._listener])

    def stop(self) -> None:
        """Take no more requests and finish those at hand; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_stopping)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve in this event loop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then answer requests."""
        url = self.url
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn has only logged what happened
            raise self._edge.failure or RwsError("the service did not start") from None
        # What is loaded by now stays: the collector need not walk through all of it again and
        # again, which stops every request for a tenth of a second and more.
        gc.collect()
        gc.freeze()
        self._announce(f"listening on {url}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted, and cut off what is left after that."""
        gc.unfreeze()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, where signals can be had."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a handler)
        """Stop; the second time, die of the signal. Stored state survives that."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.stop()


class _Edge:
    """Around the app: keeps why it did not start, and answers for it where it broke off.

    Attributes:
        failure: what the start-up raised.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def send_on(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "lifespan.startup.failed":
                # It leaves `run` as an exception; its traceback need not be logged too.
                message = {"type": message["type"]}
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except (Exception, asyncio.CancelledError) as error:
            if scope["type"] == "lifespan" and isinstance(error, Exception):
                self.failure = error
            if scope["type"] == "lifespan" or answered:
                raise
            if isinstance(error, asyncio.CancelledError):
                problem = ProblemError("unavailable", "the service is stopping", headers=CLOSE)
            else:
                _log.error("a request failed", exc_info=error)
                detail = "the request failed; the log says why"
                problem = ProblemError("internal", detail, headers=CLOSE)
            await send_problem(problem, scope, receive, send)


def _allow_files(count: int) -> None:
    """Raise the soft limit on open files to what the connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError(
            f"RWS_MAX_CONNECTIONS needs {count} open files, but this process may have {hard}: "
            "choose fewer connections, or raise the limit (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
