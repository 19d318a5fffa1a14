"""An event loop whose clock tests turn, and a socket's stand-in."""

__all__ = ["Clock", "Socket"]

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

Args = TypeVarTuple("Args")

STEP = 0.125


class Clock(asyncio.SelectorEventLoop):
    """An event loop in which time passes only in `advance`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        super().__init__()

    def time(self) -> float:
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        self._timers.append(timer)
        return timer

    @property
    def timers(self) -> int:
        """How many are set and have not rung."""
        return sum(not timer.cancelled() and timer.when() > self.now for timer in self._timers)

    def settle(self) -> None:
        """Run what can run now."""
        for _ in range(5):
            self.run_until_complete(asyncio.sleep(0))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + STEP, end)
            self.settle()


class Socket(asyncio.Transport):
    """A real transport's stand-in; what was written waits until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.written = b""
        self.sent: list[bytes] = []
        self.calls: list[str] = []
        self.reset = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)
        self.written += data
        self.sent.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def write_eof(self) -> None:
        if self.reset:
            raise OSError("not connected")
        self.calls.append("write_eof")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")
