"""HTTP/1 with a deadline for every wait on the client."""

__all__ = ["GuardedProtocol", "protocol_of"]

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from rwsstore_service.problems import ProblemError, problem_response
from rwsstore_service.serving.framing import StrictConnection
from rwsstore_service.serving.transport import ClientTransport
from rwsstore_service.settings import Settings


class _Wait(Enum):
    """What a connection waits for the client to send."""

    HEADERS = auto()
    BODY = auto()
    REQUEST = auto()


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1 protocol with the limits that a proxy would set; see `protocol_of`.

    Deadlines are absolute, so that a byte now and then does not move them:

    - headers: `header_timeout` from the start of the connection, or from the first byte of a
      further request, to the end of its headers;
    - body: `body_timeout` from there to its last byte;
    - between requests: `idle_timeout`;
    - an answer: `write_timeout` without a byte taken (`ClientTransport`).

    A request that misses its deadline gets a 408 if it has no answer yet, a malformed one a 400,
    one with too long headers a 431; then the connection is closed. A complete request has no
    deadline here, however long its handler computes.
    """

    settings: ClassVar[Settings]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(self.settings.max_header_bytes)
        self._client: ClientTransport | None = None
        self._waiting: tuple[_Wait, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the first deadline; above `max_connections`, say so and close."""
        limit = self.settings.max_connections
        if len(self.connections) >= limit:
            problem = ProblemError(
                "overloaded", f"all {limit} connections are taken", headers={"Retry-After": "1"}
            )
            transport.write(self._written_out(problem))
            transport.close()
            return
        self._client = ClientTransport(
            transport,
            loop=self.loop,
            write_timeout=self.settings.write_timeout,
            still_sending=self._client_may_send,
        )
        super().connection_made(self._client)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every deadline, and tell the handler."""
        if self._client is None:
            return
        self._client.lost()
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes after we closed is thrown away."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on to the next request, which may have come already."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.conn.our_state is h11.DONE and self.conn.their_state is h11.DONE:
                self.conn.start_next_cycle()
                self.handle_events()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request."""
        self._refuse(self.conn.refusal or ProblemError("bad-request", msg))

    def shutdown(self) -> None:
        """Close, after the answer to the request that is being handled."""
        if self._in_progress():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        # WebSockets are refused before; any other offer to upgrade (h2c) may be ignored.
        return False

    def _in_progress(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _client_may_send(self) -> bool:
        unread, _ = self.conn.trailing_data
        return bool(unread) or self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _waits_for(self) -> _Wait | None:
        if self.transport.is_closing():
            return None
        if self.conn.their_state is h11.SEND_BODY:
            return _Wait.BODY
        if self.conn.their_state is h11.IDLE:
            begun, _ = self.conn.trailing_data
            return _Wait.HEADERS if begun or not self.cycle else _Wait.REQUEST
        return None

    def _watch(self) -> None:
        """Set the deadline of what is waited for; that of the same wait stays as it is."""
        wait = self._waits_for()
        waiting = None if wait is None else (wait, self.cycle)
        if waiting == self._waiting:
            return
        self._waiting = waiting
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if wait is not None:
            self._deadline = self.loop.call_later(self._seconds(wait), self._expire, wait)

    def _seconds(self, wait: _Wait) -> float:
        match wait:
            case _Wait.HEADERS:
                return self.settings.header_timeout
            case _Wait.BODY:
                return self.settings.body_timeout
            case _Wait.REQUEST:
                return self.settings.idle_timeout

    def _expire(self, wait: _Wait) -> None:
        if self.transport.is_closing():
            return
        begun, _ = self.conn.trailing_data
        if wait is _Wait.BODY:
            self._refuse(_too_slow("body", self._seconds(wait), "RWS_BODY_TIMEOUT"))
        elif begun:
            self._refuse(_too_slow("headers", self._seconds(wait), "RWS_HEADER_TIMEOUT"))
        else:
            self.transport.close()
        self._watch()

    def _refuse(self, problem: ProblemError) -> None:
        """Answer for the handler, if there is no answer yet, and close."""
        unanswered = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        answer = self._written_out(problem)
        if self._in_progress():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if unanswered:
            self.transport.write(answer)
        self.transport.close()

    def _written_out(self, problem: ProblemError) -> bytes:
        """A whole response; h11 writes none once it has refused the request."""
        path = self.scope["path"] if self._in_progress() else ""
        response = problem_response(problem, instance=path, request_id="")
        status = HTTPStatus(response.status_code)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"connection", b"close"),
        ]
        fields = b"".join(b"%b: %b\r\n" % header for header in headers)
        without_body = self._in_progress() and self.scope["method"] == "HEAD"
        return head + fields + b"\r\n" + (b"" if without_body else bytes(response.body))


def _too_slow(what: str, seconds: float, setting: str) -> ProblemError:
    detail = f"the request's {what} did not end within {seconds:g} s ({setting})"
    return ProblemError("request-timeout", detail)


def protocol_of(settings: Settings) -> type[GuardedProtocol]:
    """Return the protocol class that keeps these settings, for `uvicorn.Config(http=...)`."""

    class Protocol(GuardedProtocol):
        pass

    Protocol.settings = settings
    return Protocol
