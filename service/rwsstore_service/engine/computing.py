"""One batch, from jobs with whatever patch sets to a result for each, brought to whoever waits."""

import asyncio
import logging
import os
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.runtime import Variant
from rwsstore_service.engine.queue import Job, ReadyVariant
from rwsstore_service.engine.records import PredictedImages, Wanted

_log = logging.getLogger(__name__)

_NOT_FINITE = "the logits are not finite with these patches; give them smaller strengths"

_Found = tuple[Job, ReadyVariant]


@dataclass(frozen=True)
class Batch:
    """What was computed together; the trials of patch sets are not counted.

    Attributes:
        images: how many.
        jobs: requests that they belong to.
        patch_sets: how many different ones they wanted.
        seconds: that it took.
    """

    images: int
    jobs: int
    patch_sets: int
    seconds: float


class Computer:
    """Computes batches; safe to use from several threads, as far as what it calls is.

    Each operation of torch gives the interpreter's lock away, and a busy event loop is slow to give
    it back. So around the prediction there are as few of them as can be.

    Args:
        prepare: finds the variant of what a job wants; called once a batch for each patch set.
        predict: images [B, 3, H, W] and B variants to logits float32 [B, C] on the CPU.
        on_batch: told of each batch that somebody asked for, before anybody has its result.
        clock: seconds, ever rising.
    """

    def __init__(
        self,
        prepare: Callable[[Wanted], ReadyVariant],
        predict: Callable[[Tensor, Sequence[Variant]], Tensor],
        on_batch: Callable[[Batch], None],
        clock: Callable[[], float],
    ) -> None:
        self._prepare, self._predict = prepare, predict
        self._on_batch, self._clock = on_batch, clock

    def compute(self, jobs: Sequence[Job]) -> None:
        """Compute jobs together and give each its result.

        A job whose variant cannot be built, or whose logits are not finite, fails alone.
        """
        running = [job for job in jobs if job.result.set_running_or_notify_cancel()]
        start = self._clock()
        found = self._find(running)
        if not found:
            return
        try:
            self._answer(found, start)
        except Exception as error:
            if len(found) == 1:
                found[0][0].result.set_exception(error)
                return
            for one in found:  # whose fault it is shows when each is computed alone
                try:
                    self._answer([one], self._clock())
                except Exception as own:
                    one[0].result.set_exception(own)

    def _find(self, jobs: Sequence[Job]) -> list[_Found]:
        """The variant of each job; those that have none are told so."""
        ready: dict[Wanted, ReadyVariant | Exception] = {}
        found = []
        for job in jobs:
            one = job.given or ready.get(job.wanted)
            if one is None:
                try:
                    one = self._prepare(job.wanted)
                except Exception as error:
                    one = error
                ready[job.wanted] = one
            if isinstance(one, ReadyVariant):
                found.append((job, one))
            else:
                job.result.set_exception(one)
        return found

    def _answer(self, found: Sequence[_Found], start: float) -> None:
        sizes = [len(job.images) for job, _ in found]
        images = found[0][0].images if len(found) == 1 else torch.cat([j.images for j, _ in found])
        variants = chain.from_iterable(
            repeat(ready.variant, size) for (_, ready), size in zip(found, sizes, strict=True)
        )
        logits = self._predict(images, list(variants))
        finite = iter(np.isfinite(logits.numpy()).all(axis=1).tolist())  # for all, and not by torch
        parts = (logits,) if len(found) == 1 else torch.split(logits, sizes)
        computed = self._clock() - start
        asked = [(job, ready) for job, ready in found if job.given is None]
        if asked:
            number = sum(len(job.images) for job, _ in asked)
            patch_sets = len({ready.variant.digest for _, ready in asked})
            self._on_batch(Batch(number, len(asked), patch_sets, computed))
        for (job, ready), own in zip(found, parts, strict=True):
            if not all(list(islice(finite, len(own)))):
                job.result.set_exception(TensorError(_NOT_FINITE))
                continue
            job.result.set_result(
                PredictedImages(
                    logits=own,
                    patches=ready.patches,
                    state_digest=ready.variant.digest,
                    generation=ready.generation,
                    queued=start - job.queued_at,
                    computed=computed,
                )
            )


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
        source.add_done_callback(lambda done: self._arrived.append((done, target)))
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


class LaneCores:
    """Gives a lane all threads while it is alone, and its share while others compute too.

    A lane whose share is one thread is pinned to a core of its own then, for the kernel leaves two
    lanes on one core for long. It is unpinned before it gets more threads: OpenMP's workers may run
    where the thread that starts them may. A larger share is never pinned, since its workers are
    kept for when the lane has all.

    Args:
        core: that it is pinned to with its share; None for none.
        cores: that it may run on else.
        set_threads: sets how many threads the calling thread computes with.
        set_cores: sets which cores the calling thread may run on.
    """

    def __init__(
        self,
        threads: int,
        share: int,
        core: int | None,
        cores: Iterable[int],
        *,
        set_threads: Callable[[int], None],
        set_cores: Callable[[Iterable[int]], None],
    ) -> None:
        self._threads, self._share = threads, share
        self._core, self._cores = core, frozenset(cores)
        self._set_threads, self._set_cores = set_threads, set_cores
        self._count = 0  # what it has is not known before it was set

    @classmethod
    def of_lanes(
        cls,
        lanes: int,
        threads: int,
        *,
        cores: Sequence[int] | None = None,
        set_threads: Callable[[int], None],
        set_cores: Callable[[Iterable[int]], None] = lambda cores: os.sched_setaffinity(0, cores),
    ) -> "tuple[LaneCores, ...]":
        """Share the threads out among lanes.

        Cores are shared out too where there are as many as threads. Where a cgroup's quota or the
        operator allows fewer threads, they are left to the kernel: other processes have the rest.

        Args:
            lanes: how many; not more than threads.
            threads: of all of them together.
            cores: that this process may run on; asked of the system if None, which may not tell.
            set_threads: as the class has it.
            set_cores: likewise.
        """
        if cores is None:
            cores = [*os.sched_getaffinity(0)] if hasattr(os, "sched_getaffinity") else []
        own = sorted(cores)
        share = threads // lanes
        pinned = lanes > 1 and share == 1 and threads == len(own)
        return tuple(
            cls(threads, share, core, own, set_threads=set_threads, set_cores=set_cores)
            for core in (own[:lanes] if pinned else [None] * lanes)
        )

    def use(self, wide: bool) -> None:
        """Take all threads, or the share; to be called in the lane's own thread."""
        count = self._threads if wide else self._share
        if count == self._count:
            return
        if wide and self._count:
            self._pin(self._cores)
        self._set_threads(count)
        if not wide and self._core is not None:
            self._pin({self._core})
        self._count = count

    def _pin(self, cores: Iterable[int]) -> None:
        if self._core is None:
            return
        try:
            self._set_cores(cores)
        except OSError as error:
            _log.debug("a lane cannot choose its cores, and runs where it may: %s", error)
            self._core = None
