"""The server's end of a connection: answers arrive before it closes, and none is waited on."""

import asyncio
from collections.abc import Callable
from typing import Any

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
        transport: the real one.
        loop: runs the deadlines.
        write_timeout: in seconds.
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
        self._transport = transport
        self._loop = loop
        self._write_timeout = write_timeout
        self._still_sending = still_sending
        self._closing = False
        self._linger: asyncio.TimerHandle | None = None
        self._check: asyncio.TimerHandle | None = None
        self._unsent: list[bytes | bytearray | memoryview] = []
        self._unsent_bytes = 0
        self._sending: asyncio.Handle | None = None
        self._written = 0
        self._taken = 0
        self._taken_at = 0.0

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
            self._check_later()

    def _forget(self) -> None:
        self._unsent, self._unsent_bytes = [], 0
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _check_later(self) -> None:
        self._check = self._loop.call_later(self._write_timeout / _CHECKS, self._check_progress)

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
            self._check_later()
