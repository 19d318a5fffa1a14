"""The lanes that compute: on which cores, predictions in batches, changes ahead of them."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import torch
from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.computing import Batch, Computer
from rwsstore_service.engine.errors import DeadlineError, OverloadedError
from rwsstore_service.engine.gathering import Gatherer, Work
from rwsstore_service.engine.queue import Job, ReadyVariant
from rwsstore_service.engine.records import Dropped, PredictedImages, Wanted

_log = logging.getLogger(__name__)

_USUAL_LANES = 2


def lane_count(wanted: int | None, *, threads: int, batching: bool) -> int:
    """Say how many lanes compute: never more than threads, and one where nothing is batched.

    Args:
        wanted: by the operator; 2 if None.
        threads: that compute.
        batching: whether requests that wait are computed together.
    """
    return min(wanted or _USUAL_LANES, threads) if batching else 1


def set_own_threads(count: int) -> None:
    """Let the calling thread compute with so many OpenMP threads, whatever others set.

    Each thread has a count of its own, but takes it only when it first needs it: it is then what
    whichever thread set last. So a thread that computes much calls this at its start (the lanes,
    the thread that makes changes, the one that starts the service), and is not touched by others
    afterwards. Threads that do not call it, those that read images and files, begin with what was
    set last; they compute nothing that is worth a second thread.
    """
    torch.get_num_threads()  # takes its count now: else torch.set_num_threads would not last
    torch.set_num_threads(count)


class LaneCores:
    """Gives a lane all threads while it is alone, and its share while others compute too.

    A lane whose share is one thread is pinned to a core of its own then, for the kernel leaves two
    lanes on one core for long. It is unpinned before it gets more threads: OpenMP's workers may run
    where the thread that starts them may. A larger share is never pinned, since its workers are
    kept for when the lane has all.

    Args:
        threads: when it is alone.
        share: when it is not.
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

    @classmethod
    def of_lanes(
        cls,
        lanes: int,
        threads: int,
        *,
        cores: Sequence[int] | None = None,
        set_threads: Callable[[int], None] = set_own_threads,
        set_cores: Callable[[Iterable[int]], None] | None = None,
    ) -> "tuple[LaneCores, ...]":
        """Share the threads out among lanes.

        Cores are shared out too where there are as many as threads. Where a cgroup's quota or the
        operator allows fewer threads, they are left to the kernel: other processes have the rest.

        Args:
            lanes: how many; not more than threads.
            threads: of all of them together.
            cores: that this process may run on; asked of the system if None.
            set_threads: sets how many threads the calling thread computes with.
            set_cores: sets which cores the calling thread may run on; the system's if None.
        """
        own = _process_cores() if cores is None else sorted(cores)
        share = threads // lanes
        pinned = lanes > 1 and share == 1 and threads == len(own)
        return tuple(
            cls(
                threads,
                share,
                own[lane] if pinned else None,
                own,
                set_threads=set_threads,
                set_cores=_set_cores if set_cores is None else set_cores,
            )
            for lane in range(lanes)
        )


def _process_cores() -> list[int]:
    """The cores that this process may run on; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _set_cores(cores: Iterable[int]) -> None:
    os.sched_setaffinity(0, cores)  # 0: the calling thread


_T = TypeVar("_T")


def _wait(changed: threading.Condition, seconds: float) -> None:
    changed.wait(seconds)


def _as_it_is(_wide: bool) -> None:
    """Leave a lane the threads that it has."""


class Inference:
    """Runs predictions in a few threads of its own, the lanes, over one queue.

    A batch that is alone gets all cores. While several are computed, each has its share of them:
    two on a core each are quicker than two that take turns on both, since threads that share an
    operation wait for each other whenever the event loop takes one's core.

    Args:
        prepare: finds the variant of what a job wants; called in a lane, once a batch for each
            patch set.
        predict: images [B, 3, H, W] and B variants to logits float32 [B, C]; called in several
            lanes at once.
        queue_size: jobs that may wait.
        max_batch: images computed together at most; a larger job runs alone.
        batching: whether jobs that wait are put together.
        batch_wait: seconds that a batch may wait for more jobs right after one of several.
        lanes: one function for each lane, called in it before it works: with True it may use all
            threads, with False its share.
        on_batch: told of every batch.
        on_dropped: told of every job that is dropped.
        on_results: called when results were set, once for all of a batch.
        clock: seconds, ever rising.
        wait: lets go of the condition until it is notified or the seconds are over.
    """

    def __init__(
        self,
        prepare: Callable[[Wanted], ReadyVariant],
        predict: Callable[[Tensor, Sequence[Variant]], Tensor],
        *,
        queue_size: int,
        max_batch: int,
        batching: bool,
        batch_wait: float = 0.0,
        lanes: Sequence[Callable[[bool], None]] = (_as_it_is,),
        on_batch: Callable[[Batch], None] = lambda _batch: None,
        on_dropped: Callable[[Dropped], None] = lambda _why: None,
        on_results: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[threading.Condition, float], None] = _wait,
    ) -> None:
        self._on_batch, self._on_dropped, self._on_results = on_batch, on_dropped, on_results
        self._clock = clock
        self._computer = Computer(prepare, predict, self._note, clock)
        self._gatherer = Gatherer(
            lanes=len(lanes),
            queue_size=queue_size,
            max_batch=max_batch,
            batching=batching,
            batch_wait=batch_wait,
            clock=clock,
            wait=wait,
        )
        self._lanes = [
            threading.Thread(target=self._run, args=(go,), name=f"rwsstore-lane-{n}", daemon=True)
            for n, go in enumerate(lanes)
        ]

    def start(self) -> None:
        """Begin to compute."""
        for lane in self._lanes:
            lane.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._gatherer.waiting

    @property
    def alive(self) -> bool:
        """Whether every lane computes, or would."""
        return all(lane.is_alive() for lane in self._lanes) and not self._gatherer.stopping

    def refuse_if_stopped(self) -> None:
        """Refuse what would no longer be computed.

        Raises:
            StoppingError: it was stopped.
        """
        self._gatherer.refuse_if_stopped()

    def submit(self, job: Job) -> Future[PredictedImages]:
        """Put a prediction in the queue.

        Raises:
            DeadlineError: its time is up already.
            OverloadedError: the queue is full.
            StoppingError: it was stopped.
        """
        job.queued_at = self._clock()
        if job.deadline <= job.queued_at and not self._gatherer.stopping:
            self._on_dropped("deadline")
            raise _late()
        displaced = self._gatherer.add(job)
        if displaced is not None:
            error = OverloadedError("requests with other patch sets have fewer places: try again")
            self._drop(displaced, "displaced", error)
            self._on_results()
        return job.result

    def trial(self, images: Tensor, ready: ReadyVariant) -> Future[PredictedImages]:
        """Compute with a variant that is not served yet, in the next batch, whoever waits.

        Raises:
            StoppingError: it was stopped.
        """
        job = Job(images, ready.patches, given=ready, queued_at=self._clock())
        self._gatherer.add(job)
        return job.result

    def call(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function in a lane, ahead of the predictions that wait.

        Raises:
            StoppingError: it was stopped.
        """
        result: Future[_T] = Future()
        self._gatherer.add_call(lambda: _settle(result, function))
        return result

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is queued, then end; returns when that is done or the time is up."""
        self._gatherer.stop()
        until = None if timeout is None else time.monotonic() + timeout
        for lane in self._lanes:
            if lane.ident is not None:
                lane.join(None if until is None else max(0.0, until - time.monotonic()))

    def _drop(self, job: Job, why: Dropped, error: Exception) -> None:
        if job.result.set_running_or_notify_cancel():  # else nobody waits for it any more
            self._on_dropped(why)
            job.result.set_exception(error)

    def _run(self, go: Callable[[bool], None]) -> None:
        while self._step(go):
            pass  # what was done is let go of before it waits for more

    def _step(self, go: Callable[[bool], None]) -> bool:
        work = self._gatherer.take()
        if work is None:
            return False
        try:
            self._do(work, go)
        finally:
            self._gatherer.done(work)
            self._on_results()  # last: it gives the interpreter's lock to those who wait for them
        return True

    def _do(self, work: Work, go: Callable[[bool], None]) -> None:
        for job in work.late:
            self._drop(job, "deadline", _late())
        if work.late:
            self._on_results()  # now: they need not wait for the others' batch
        if work.call is not None:
            go(work.wide)
            work.call()
        elif work.batch:
            go(work.wide)
            self._computer.compute(work.batch)

    def _note(self, batch: Batch) -> None:
        self._gatherer.ended(batch)
        self._on_batch(batch)


def _late() -> DeadlineError:
    return DeadlineError(
        "the prediction was not begun in the time that it may wait: allow more (timeout_ms, or "
        "timeout in microseconds), or ask for less at once"
    )


def _settle(result: Future[_T], function: Callable[[], _T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(function())
    except Exception as error:
        result.set_exception(error)
