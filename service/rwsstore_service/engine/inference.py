"""The one thread that computes: predictions in batches, and changes that go ahead of them."""

__all__ = ["InferenceThread"]

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.computing import Batch, Computer
from rwsstore_service.engine.errors import DeadlineError, OverloadedError, StoppingError
from rwsstore_service.engine.fairness import FairQueue
from rwsstore_service.engine.jobs import Job, Ready
from rwsstore_service.engine.pacing import Pace
from rwsstore_service.engine.records import Dropped, Prediction, Wanted

_T = TypeVar("_T")


def _wait(changed: threading.Condition, seconds: float) -> None:
    changed.wait(seconds)


class InferenceThread:
    """Runs everything that touches tensors, so that no two computations share the cores.

    Args:
        prepare: finds the variant of what a job wants; called in the thread, once a batch for each
            patch set.
        predict: images [B, 3, H, W] and B variants to logits [B, C].
        queue_size: jobs that may wait.
        max_batch: images computed together at most; a larger job runs alone.
        batching: whether jobs that wait are put together.
        batch_wait: seconds that a batch may wait for more jobs right after one of several.
        on_batch: told of every batch.
        on_dropped: told of every job that is dropped.
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
        on_batch: Callable[[Batch], None] = lambda _batch: None,
        on_dropped: Callable[[Dropped], None] = lambda _why: None,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[threading.Condition, float], None] = _wait,
    ) -> None:
        self._on_batch, self._on_dropped = on_batch, on_dropped
        self._clock, self._wait = clock, wait
        self._max_batch, self._batching = max_batch, batching
        self._computer = Computer(prepare, predict, self._note, clock)
        self._queue, self._pace = FairQueue(queue_size), Pace(batch_wait if batching else 0.0)
        self._calls: deque[Callable[[], None]] = deque()
        self._trials: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="rwsstore-inference", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether it computes, or would."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, job: Job) -> Future[Prediction]:
        """Put a prediction in the queue.

        Raises:
            DeadlineError: its time is up already.
            OverloadedError: the queue is full.
            StoppingError: it was stopped.
        """
        with self._changed:
            self._refuse_if_stopped()
            job.queued_at = self._clock()
            if job.deadline <= job.queued_at:
                self._on_dropped("deadline")
                raise _late()
            displaced = self._queue.add(job)
            self._changed.notify()
        if displaced is not None:
            error = OverloadedError("requests with other patch sets have fewer places: try again")
            self._drop(displaced, "displaced", error)
        return job.result

    def trial(self, images: Tensor, ready: Ready) -> Future[Prediction]:
        """Compute with a variant that is not served yet, in the next batch, whoever waits.

        Raises:
            StoppingError: it was stopped.
        """
        job = Job(images, ready.patches, given=ready)
        with self._changed:
            self._refuse_if_stopped()
            job.queued_at = self._clock()
            self._trials.append(job)
            self._changed.notify()
        return job.result

    def call(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function in the thread, ahead of the predictions that wait.

        Raises:
            StoppingError: it was stopped.
        """
        result: Future[_T] = Future()
        with self._changed:
            self._refuse_if_stopped()
            self._calls.append(lambda: _settle(result, function))
            self._changed.notify()
        return result

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is queued, then end; returns when that is done or the time is up."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _refuse_if_stopped(self) -> None:
        if self._stopping:
            raise StoppingError("the service is stopping: ask again in a moment")

    def _drop(self, job: Job, why: Dropped, error: Exception) -> None:
        if job.result.set_running_or_notify_cancel():  # else nobody waits for it any more
            self._on_dropped(why)
            job.result.set_exception(error)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._urgent or self._queue)
                self._wait_for_more()
                call = self._calls.popleft() if self._calls else None
                late = [] if call else self._queue.drop_late(self._clock())
                batch = [] if call else self._next_batch()
                over = self._stopping and not (call or late or batch)
            for job in late:
                self._drop(job, "deadline", _late())
            if call:
                call()
            elif batch:
                self._computer.compute(batch)
            elif over:
                return

    @property
    def _urgent(self) -> bool:
        """Whether there is something to do that no waiting is for."""
        return bool(self._calls or self._trials or self._stopping)

    def _wait_for_more(self) -> None:
        """Right after a batch of several jobs, give those clients the time to ask again."""
        began, before = self._clock(), len(self._queue)
        now, waited = began, False
        while not self._urgent:
            until = self._pace.until(len(self._queue), began, self._queue.soonest)
            if now >= until or self._queue.images >= self._max_batch:
                break
            self._wait(self._changed, until - now)
            now, waited = self._clock(), True
        if waited:
            self._pace.waited(len(self._queue) - before)

    def _next_batch(self) -> list[Job]:
        """A trial, if one is to be made, with jobs that can be computed together with it."""
        first = self._trials.popleft() if self._trials else self._queue.take_one()
        if first is None or not self._batching:
            return [] if first is None else [first]
        return [first, *self._queue.take(self._max_batch - len(first.images), like=first)]

    def _note(self, batch: Batch) -> None:
        self._pace.ended(batch.jobs, len(self._queue), batch.seconds, self._clock())
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
