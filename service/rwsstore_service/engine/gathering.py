"""What waits to be computed, and which of it the next lane takes."""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.errors import StoppingError
from rwsstore_service.engine.queue import FairQueue, Job, Pace

_LEAST = 4
"""Images that are not shared out among lanes: each would cost more than it does beside others."""


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
        batch_wait: float,
        clock: Callable[[], float],
        wait: Callable[[threading.Condition, float], None],
    ) -> None:
        self._lanes, self._max_batch, self._batching = lanes, max_batch, batching
        self._clock, self._wait = clock, wait
        self._queue, self._pace = FairQueue(queue_size), Pace(batch_wait if batching else 0.0)
        self._calls: deque[Callable[[], None]] = deque()
        self._trials: deque[Job] = deque()
        self._leading = threading.Lock()  # taken before the other
        self._changed = threading.Condition()  # guards all that follows, and what is above
        self._stopping = False
        self._busy, self._computing = 0, 0  # lanes, images
        self._began, self._sleeps_until = 0.0, -math.inf

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    @property
    def stopping(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._stopping

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
            self._stopping = True
            self._wake()

    def take(self) -> Work | None:
        """Wait for something to do and take it; `done` is to be told when it is.

        Returns:
            What is to be done; None when it was stopped and nothing is left.
        """
        with self._leading, self._changed:
            self._gather()
            work = self._next()
            if self._stopping and not (work.call or work.late or work.batch):
                return None
            self._busy += 1
            self._computing += work.images
            return work

    def ended(self, batch: Batch) -> None:
        """Tell of a batch whose clients have their answers in a moment."""
        with self._changed:
            images = batch.images + self._queue.images
            self._pace.ended(batch.jobs, len(self._queue), batch.seconds, self._clock(), images)

    def done(self, work: Work) -> None:
        """Tell that the lane is free again."""
        with self._changed:
            self._busy -= 1
            self._computing -= work.images
            self._wake()

    def refuse_if_stopped(self) -> None:
        """Accept nothing once it was stopped.

        Raises:
            StoppingError: it was.
        """
        if self._stopping:
            raise StoppingError("the service is stopping: ask again in a moment")

    @property
    def _urgent(self) -> bool:
        """Whether there is something to do that no waiting is for."""
        return bool(self._calls or self._stopping)

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
        self._began, before, waited = self._clock(), len(self._queue), False
        while not self._urgent:
            now, due = self._clock(), self._due()
            if due <= now:
                if self._some:
                    break
                due = math.inf
            self._sleep(due, now)
            waited = bool(self._queue) and due < math.inf
        if waited:
            self._pace.waited(len(self._queue) - max(1, before))

    def _sleep(self, until: float, now: float) -> None:
        self._sleeps_until = until
        if until < math.inf:
            self._wait(self._changed, until - now)
        else:
            self._changed.wait()
        self._sleeps_until = -math.inf

    def _wake(self) -> None:
        """Wake the lane that gathers, once, if what it sleeps for is there."""
        if self._urgent or (self._some and self._due() < self._sleeps_until):
            self._sleeps_until = -math.inf
            self._changed.notify()

    def _next(self) -> Work:
        if self._calls:
            return Work(self._alone, call=self._calls.popleft())
        late, batch = self._queue.drop_late(self._clock()), self._next_batch()
        return Work(self._alone, late=late, batch=batch)

    @property
    def _alone(self) -> bool:
        return not self._busy and not self._queue

    def _next_batch(self) -> list[Job]:
        """A trial, if one is to be made, with jobs that can be computed together with it."""
        share = self._share
        first = self._trials.popleft() if self._trials else self._queue.take_one()
        if first is None or not self._batching:
            return [] if first is None else [first]
        return [first, *self._queue.take(share - len(first.images), like=first)]
