"""The server's end of a connection: answers arrive before it closes, and none is waited on."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Literal

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from rwsstore_service.settings import Settings
from rwsstore_service.wire.problems import ProblemError, problem_response

LINGER_SECONDS = 2.0
"""How long a closed connection goes on being read, so that its last answer can arrive."""

_CHECKS = 4  # in one write_timeout
_AT_ONCE = 65_536
"""Bytes from which a write does not wait for the rest of its answer."""


class ClientTransport(asyncio.Transport):
    """An asyncio transport that closes as RFC 9112, section 9.6, asks and gives up on non-readers.

    Closing a socket while the client still sends makes the kernel reset the connection, and the
    answer (413, 408, ...) may be lost. So our side ends first; what still comes is thrown away
    until the client ends its own, at most for `LINGER_SECONDS`.

    What is written in one turn of the event loop, an answer's head and its body, is sent in one
    system call.

    A client that takes no byte for `write_timeout` seconds (at most a quarter longer), while
    bytes wait for it, is cut off; also after `close`, which asyncio would wait for without end.

    Args:
        still_sending: whether the client may be in the middle of something.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        loop: asyncio.AbstractEventLoop,
        write_timeout: float,
        still_sending: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._write_timeout, self._still_sending = write_timeout, still_sending
        self._closing = False
        self._linger: asyncio.TimerHandle | None = None
        self._check: asyncio.TimerHandle | None = None
        self._unsent: list[bytes | bytearray | memoryview] = []
        self._unsent_bytes = 0
        self._sending: asyncio.Handle | None = None
        self._written, self._taken, self._taken_at = 0, 0, 0.0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the real transport knows."""
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether nothing more is written or listened to."""
        return self._closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the client go on."""
        self._transport.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, and watch that they are taken; after `close` they are dropped."""
        if self.is_closing() or not data:
            return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes >= _AT_ONCE:
            self._send()
        elif self._sending is None:
            self._sending = self._loop.call_soon(self._send)

    def close(self) -> None:
        """Send what was written, then close."""
        if self._closing:
            return
        self._send()
        self._closing = True
        if not self._still_sending() or self._transport.is_closing():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client reset the connection a moment ago
            self._transport.abort()
            return
        self._transport.resume_reading()
        self._linger = self._loop.call_later(LINGER_SECONDS, self._transport.close)

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._closing = True
        self._forget()
        self._transport.abort()

    def lost(self) -> None:
        """Take note that the connection is gone; to be called from `connection_lost`."""
        self._closing = True
        self._forget()
        for timer in (self._linger, self._check):
            if timer is not None:
                timer.cancel()

    def _send(self) -> None:
        """Hand over what was written, all at once."""
        data = b"".join(self._unsent)
        self._forget()
        if not data or self._transport.is_closing():
            return
        self._transport.write(data)
        self._written += len(data)
        if self._check is None and self._transport.get_write_buffer_size():
            self._taken_at = self._loop.time()
            self._check_progress()

    def _forget(self) -> None:
        self._unsent, self._unsent_bytes = [], 0
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _check_progress(self) -> None:
        self._check = None
        waiting = self._transport.get_write_buffer_size()
        taken = self._written - waiting
        now = self._loop.time()
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        if not waiting:
            return
        if now - self._taken_at >= self._write_timeout:
            self.abort()
        else:
            self._check = self._loop.call_later(self._write_timeout / _CHECKS, self._check_progress)


# A chunk costs a client six bytes and the event loop five microseconds. After the first thousand,
# chunks that are this small on average are no body that anybody means to send.
_FREE_CHUNKS = 1024
_LEAST_AVERAGE_CHUNK = 64


class StrictConnection(h11.Connection):
    """The server's half of an HTTP/1 connection; refuses what intermediaries read differently.

    Beyond what h11 refuses: a message with two framings (Content-Length and Transfer-Encoding),
    chunks in HTTP/1.0, other versions than 1.0 and 1.1, a WebSocket, headers over the limit that
    came in one piece, and bodies of very many tiny chunks.

    Attributes:
        refusal: the problem that the latest refused bytes are; None before.
    """

    def __init__(self, max_header_bytes: int) -> None:
        super().__init__(h11.SERVER, max_header_bytes)
        self.refusal: ProblemError | None = None
        self._max_header_bytes = max_header_bytes
        self._chunks = 0
        self._chunk_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next thing that the client said.

        Raises:
            h11.RemoteProtocolError: it is not HTTP as we take it; `refusal` says why.
        """
        in_headers = self.their_state is h11.IDLE
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check_request(event)
            elif isinstance(event, h11.Data):
                self._chunks += event.chunk_start
                self._chunk_bytes += len(event.data)
                if (self._chunks - _FREE_CHUNKS) * _LEAST_AVERAGE_CHUNK > self._chunk_bytes:
                    raise h11.RemoteProtocolError(
                        f"{self._chunks} chunks for {self._chunk_bytes} bytes; send larger ones"
                    )
        except h11.RemoteProtocolError as error:
            self.refusal = self._describe(error, in_headers=in_headers)
            raise
        return event

    def _check_request(self, request: h11.Request) -> None:
        self._chunks = self._chunk_bytes = 0
        headers = dict(request.headers)
        size = len(request.method) + len(request.target) + len("  HTTP/1.1\r\n\r\n")
        size += sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers)
        if size > self._max_header_bytes:
            raise h11.RemoteProtocolError("headers too long", error_status_hint=431)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("neither HTTP/1.0 nor HTTP/1.1")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        if b"transfer-encoding" in headers and request.http_version == b"1.0":
            raise h11.RemoteProtocolError("Transfer-Encoding in HTTP/1.0")
        if headers.get(b"upgrade", b"").lower() == b"websocket":
            raise h11.RemoteProtocolError("there are no WebSockets here")

    def _describe(self, error: h11.RemoteProtocolError, *, in_headers: bool) -> ProblemError:
        limit = self._max_header_bytes
        if error.error_status_hint == 431 and in_headers:
            return ProblemError(
                "headers-too-large",
                f"the request's line and headers have more than {limit} bytes",
                limit=limit,
            )
        if error.error_status_hint == 431:
            return ProblemError("bad-request", f"a chunk's line has more than {limit} bytes")
        # h11 quotes the line after a colon; a line may hold a token and is not sent back.
        reason = str(error).partition(": ")[0]
        return ProblemError("bad-request", f"not a request that is read here: {reason}")


_Wait = Literal["header", "body", "idle"]
"""What a connection waits for the client to send, as settings name it; idle is for a request."""


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
            problem = ProblemError("overloaded", f"all {limit} connections are taken")
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
            return "body"
        if self.conn.their_state is h11.IDLE:
            begun, _ = self.conn.trailing_data
            return "header" if begun or not self.cycle else "idle"
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
            seconds: float = getattr(self.settings, f"{wait}_timeout")
            self._deadline = self.loop.call_later(seconds, self._expire, wait, seconds)

    def _expire(self, wait: _Wait, seconds: float) -> None:
        if self.transport.is_closing():
            return
        begun, _ = self.conn.trailing_data
        if wait == "body":
            what, setting = "body", "RWS_BODY_TIMEOUT"
        else:
            what, setting = "headers", "RWS_HEADER_TIMEOUT"
        if wait == "body" or begun:
            detail = f"the request's {what} did not end within {seconds:g} s ({setting})"
            self._refuse(ProblemError("request-timeout", detail))
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


def protocol_of(settings: Settings) -> type[GuardedProtocol]:
    """Return the protocol class that keeps these settings, for `uvicorn.Config(http=...)`."""
    return type("Protocol", (GuardedProtocol,), {"settings": settings})
