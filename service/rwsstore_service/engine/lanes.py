"""The lanes that compute: what waits for them, which of it the next takes, and their threads."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.computing import Batch, Computer
from rwsstore_service.engine.errors import DeadlineError, OverloadedError, StoppingError
from rwsstore_service.engine.queue import FairQueue, Job, Pace, ReadyVariant
from rwsstore_service.engine.records import Dropped, PredictedImages, Wanted

_T = TypeVar("_T")

_LEAST = 4
"""Images that are not shared out among lanes: each would cost more than it does beside others."""

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


@dataclass(frozen=True, eq=False)
class Work:
    """What a lane does next.

    Attributes:
        wide: whether it may use all threads: no other lane works, and nothing waits.
        call: a function; there is nothing else then.
        late: jobs whose time was up before they were begun.
        batch: jobs that are computed together.
    """

    wide: bool
    call: Callable[[], None] | None = None
    late: Sequence[Job] = ()
    batch: Sequence[Job] = ()

    @property
    def images(self) -> int:
        """Images in the batch."""
        return sum(len(job.images) for job in self.batch)


class Gatherer:
    """Holds what waits, and gives it out to lanes; safe to use from any thread.

    One lane at a time gathers a batch, so that no two tear it apart; who leads holds a plain lock
    the while, and the others compute or wait for it. The one that gathers sleeps until what it
    waits for is there, and is woken once.

    Args:
        lanes: that take work.
        queue_size: jobs that may wait.
        max_batch: images in a batch at most; a larger job is a batch alone.
        batching: whether jobs that wait are put together.
        batch_wait: seconds that a batch may wait for more jobs right after one of several.
        clock: seconds, ever rising.
        wait: lets go of the condition until it is notified or the seconds are over.
    """

    def __init__(
        self,
        *,
        lanes: int,
        queue_size: int,
        max_batch: int,
        batching: bool,
        batch_wait: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._lanes, self._max_batch, self._batching = lanes, max_batch, batching
        self.clock, self._wait = clock, wait
        self._queue, self._pace = FairQueue(queue_size), Pace(batch_wait if batching else 0.0)
        self._calls: deque[Callable[[], None]] = deque()
        self._trials: deque[Job] = deque()
        self._leading = threading.Lock()  # taken before the other
        self._changed = threading.Condition()  # guards all that follows, and what is above
        self.stopping = False
        self._busy, self._computing = 0, 0  # lanes, images
        self._began, self._sleeps_until = 0.0, -math.inf

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    def add(self, job: Job) -> Job | None:
        """Let a job wait.

        One that is given its variant, a trial, is in the next batch, whoever waits; that one waits
        for others as it would.

        Returns:
            The job that gave its place to it.

        Raises:
            OverloadedError: the queue is full.
            StoppingError: it was stopped.
        """
        with self._changed:
            self.refuse_if_stopped()
            if not self._some:
                self._began = job.queued_at
            displaced = None
            if job.given is None:
                displaced = self._queue.add(job)
            else:
                self._trials.append(job)
            self._wake()
        return displaced

    def add_call(self, call: Callable[[], None]) -> None:
        """Have a function called, ahead of the jobs that wait.

        Raises:
            StoppingError: it was stopped.
        """
        with self._changed:
            self.refuse_if_stopped()
            self._calls.append(call)
            self._wake()

    def stop(self) -> None:
        """Accept nothing any more."""
        with self._changed:
            self.stopping = True
            self._wake()

    def take(self) -> Work | None:
        """Wait for something to do and take it; `done` is to be told when it is.

        Returns:
            What is to be done; None when it was stopped and nothing is left.
        """
        with self._leading, self._changed:
            self._gather()
            work = self._next()
            if self.stopping and not (work.call or work.late or work.batch):
                return None
            self._busy += 1
            self._computing += work.images
            return work

    def ended(self, batch: Batch) -> None:
        """Tell of a batch whose clients have their answers in a moment."""
        with self._changed:
            images = batch.images + self._queue.images
            self._pace.ended(batch.jobs, len(self._queue), batch.seconds, self.clock(), images)

    def done(self, work: Work) -> None:
        """Tell that the lane is free again."""
        with self._changed:
            self._busy -= 1
            self._computing -= work.images
            self._wake()

    def refuse_if_stopped(self) -> None:
        """Refuse what would no longer be computed.

        Raises:
            StoppingError: it was stopped.
        """
        if self.stopping:
            raise StoppingError("the service is stopping: ask again in a moment")

    @property
    def _urgent(self) -> bool:
        """Whether there is something to do that no waiting is for."""
        return bool(self._calls or self.stopping)

    @property
    def _some(self) -> bool:
        """Whether a batch could be made; a trial waits as predictions do, not to tear it apart."""
        return bool(self._queue or self._trials)

    @property
    def _share(self) -> int:
        """Images that are enough for a batch: as many as each lane gets of all."""
        if self._lanes == 1:
            return self._max_batch
        images = max(self._queue.images, self._pace.images) + self._computing
        return min(self._max_batch, max(_LEAST, math.ceil(images / self._lanes)))

    def _due(self) -> float:
        """When what waits is to wait no longer."""
        if self._queue.images >= self._share:
            return -math.inf
        return self._pace.until(len(self._queue), self._began, self._queue.soonest)

    def _gather(self) -> None:
        """Sleep until there is something to do, and whoever asks again soon had the time to.

        While that time runs, the first to come does not wake it; after it, he does.
        """
        self._began, before, waited = self.clock(), len(self._queue), False
        while not self._urgent:
            now, due = self.clock(), self._due()
            if due <= now:
                if self._some:
                    break
                due = math.inf
            self._sleeps_until = due
            if due < math.inf:
                self._wait(self._changed, due - now)
            else:
                self._changed.wait()
            self._sleeps_until = -math.inf
            waited = bool(self._queue) and due < math.inf
        if waited:
            self._pace.waited(len(self._queue) - max(1, before))

    def _wake(self) -> None:
        """Wake the lane that gathers, once, if what it sleeps for is there."""
        if self._urgent or (self._some and self._due() < self._sleeps_until):
            self._sleeps_until = -math.inf
            self._changed.notify()

    def _next(self) -> Work:
        if self._calls:
            return Work(self._alone, call=self._calls.popleft())
        late, share = self._queue.drop_late(self.clock()), self._share
        # A trial, if one is to be made, with jobs that can be computed together with it.
        first = self._trials.popleft() if self._trials else self._queue.take_one()
        batch = [] if first is None else [first]
        if first is not None and self._batching:
            batch += self._queue.take(share - len(first.images), like=first)
        return Work(self._alone, late=late, batch=batch)

    @property
    def _alone(self) -> bool:
        return not self._busy and not self._queue


class Inference:
    """Runs predictions in a few threads of its own, the lanes, over one queue.

    A batch that is alone gets all cores. While several are computed, each has its share of them:
    two on a core each are quicker than two that take turns on both, since threads that share an
    operation wait for each other whenever the event loop takes one's core.

    Args:
        prepare: as `Computer` has it; called in a lane.
        predict: as `Computer` has it; called in several lanes at once.
        gatherer: of as many lanes as there are.
        lanes: one function for each lane, called in it before it works: with True it may use all
            threads, with False its share.
        on_batch: told of every batch.
        on_dropped: told of every job that is dropped.
        on_results: called when results were set, once for all of a batch.
    """

    def __init__(
        self,
        prepare: Callable[[Wanted], ReadyVariant],
        predict: Callable[[Tensor, Sequence[Variant]], Tensor],
        gatherer: Gatherer,
        *,
        lanes: Sequence[Callable[[bool], None]] = (lambda _wide: None,),
        on_batch: Callable[[Batch], None] = lambda _batch: None,
        on_dropped: Callable[[Dropped], None] = lambda _why: None,
        on_results: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_batch, self._on_dropped, self._on_results = on_batch, on_dropped, on_results
        self.gatherer, self._clock = gatherer, gatherer.clock
        self._computer = Computer(prepare, predict, self._note, gatherer.clock)
        self._lanes = [
            threading.Thread(target=self._run, args=(go,), name=f"rwsstore-lane-{n}", daemon=True)
            for n, go in enumerate(lanes)
        ]

    def start(self) -> None:
        """Begin to compute."""
        for lane in self._lanes:
            lane.start()

    @property
    def alive(self) -> bool:
        """Whether every lane computes, or would."""
        return all(lane.is_alive() for lane in self._lanes) and not self.gatherer.stopping

    def submit(self, job: Job) -> Future[PredictedImages]:
        """Put a prediction in the queue.

        Raises:
            DeadlineError: its time is up already.
            OverloadedError: the queue is full.
            StoppingError: it was stopped.
        """
        job.queued_at = self._clock()
        if job.deadline <= job.queued_at and not self.gatherer.stopping:
            self._on_dropped("deadline")
            raise _late()
        displaced = self.gatherer.add(job)
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
        self.gatherer.add(job)
        return job.result

    def call(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function in a lane, ahead of the predictions that wait.

        Raises:
            StoppingError: it was stopped.
        """
        result: Future[_T] = Future()

        def settle() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                result.set_result(function())
            except Exception as error:
                result.set_exception(error)

        self.gatherer.add_call(settle)
        return result

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is queued, then end; returns when that is done or the time is up."""
        self.gatherer.stop()
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
        work = self.gatherer.take()
        if work is None:
            return False
        try:
            for job in work.late:
                self._drop(job, "deadline", _late())
            if work.late:
                self._on_results()  # now: they need not wait for the others' batch
            if work.call or work.batch:
                go(work.wide)
            if work.call:
                work.call()
            elif work.batch:
                self._computer.compute(work.batch)
        finally:
            self.gatherer.done(work)
            self._on_results()  # last: it gives the interpreter's lock to those who wait for them
        return True

    def _note(self, batch: Batch) -> None:
        self.gatherer.ended(batch)
        self._on_batch(batch)


def _late() -> DeadlineError:
    return DeadlineError(
        "the prediction was not begun in the time that it may wait: allow more (timeout_ms, or "
        "timeout in microseconds), or ask for less at once"
    )
