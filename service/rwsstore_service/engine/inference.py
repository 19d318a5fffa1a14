"""The lanes that compute: predictions in batches, and changes that go ahead of them."""

__all__ = ["Inference"]

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.computing import Batch, Computer
from rwsstore_service.engine.errors import DeadlineError, OverloadedError
from rwsstore_service.engine.gathering import Gatherer, Work
from rwsstore_service.engine.jobs import Job, Ready
from rwsstore_service.engine.records import Dropped, Prediction, Wanted

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
        prepare: Callable[[Wanted], Ready],
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

    def submit(self, job: Job) -> Future[Prediction]:
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

    def trial(self, images: Tensor, ready: Ready) -> Future[Prediction]:
        """Compute with a variant that is not served yet, in the next batch, whoever waits.

        Raises:
            StoppingError: it was stopped.
        """
        job = Job(images, ready.patches, given=ready, queued_at=self._clock())
        self._gatherer.add_trial(job)
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
