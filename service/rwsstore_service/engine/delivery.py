"""Results of the lanes, brought into the event loops that wait for them."""

__all__ = ["Delivery"]

import asyncio
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterable
from concurrent import futures
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")
_Arrived = tuple["futures.Future[Any]", "asyncio.Future[Any]"]


class Delivery:
    """Wakes an event loop once for all the results of a batch.

    A wake-up is a write to a pipe, after which the event loop takes the interpreter's lock from
    the lane. With one for each result (`asyncio.wrap_future`), a lane would lose it again and
    again before its results are out.
    """

    def __init__(self) -> None:
        self._arrived: deque[_Arrived] = deque()

    async def of(self, source: "futures.Future[_T]") -> _T:
        """Wait for a result; it comes with the first `flush` after it was set.

        Whoever is cancelled while waiting cancels the source.

        Raises:
            Exception: what the source failed with.
        """
        target: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        source.add_done_callback(partial(self._note, target))
        if source.done():  # perhaps it was before, and was flushed: nothing else would bring it
            _hand_over([(source, target)])
        try:
            return await target
        except asyncio.CancelledError:
            source.cancel()
            raise

    def flush(self) -> None:
        """Deliver what has arrived; to be called after results were set, from any thread."""
        of_loops: dict[AbstractEventLoop, list[_Arrived]] = {}
        with suppress(IndexError):  # popped to the end, by whomever
            while True:
                source, target = self._arrived.popleft()
                of_loops.setdefault(target.get_loop(), []).append((source, target))
        for loop, arrived in of_loops.items():
            with suppress(RuntimeError):  # it was closed: nobody waits there any more
                loop.call_soon_threadsafe(_hand_over, arrived)

    def _note(self, target: "asyncio.Future[_T]", source: "futures.Future[_T]") -> None:
        self._arrived.append((source, target))


def _hand_over(arrived: Iterable[_Arrived]) -> None:
    """Set the results, in the event loop that waits for them."""
    for source, target in arrived:
        if target.done():  # who waited went away
            continue
        if source.cancelled():
            target.cancel()
        elif (error := source.exception()) is not None:
            target.set_exception(error)
        else:
            target.set_result(source.result())
