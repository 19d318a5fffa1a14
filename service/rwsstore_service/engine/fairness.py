"""Jobs that wait: so many at most, and every patch set has its turn."""

__all__ = ["FairQueue"]

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import chain

from rwsstore_service.engine.errors import OverloadedError
from rwsstore_service.engine.jobs import Job, PatchSetKey


class FairQueue:
    """A bounded queue that serves patch sets in turn, and of each the oldest job first.

    So nobody waits longer because somebody else asks much with another patch set. Not safe to use
    from several threads: who shares it holds a lock.

    Args:
        size: jobs that may wait.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # The set whose turn is next stands first; none is ever empty.
        self._sets: OrderedDict[PatchSetKey, deque[Job]] = OrderedDict()
        self._jobs, self._images = 0, 0
        self._soonest = math.inf

    def __len__(self) -> int:
        return self._jobs

    @property
    def images(self) -> int:
        """How many images wait."""
        return self._images

    @property
    def soonest(self) -> float:
        """The first deadline of all, or one before it."""
        return self._soonest

    def add(self, job: Job) -> Job | None:
        """Let a job wait.

        Where all places are taken, the newest job of the set that has most of them gives way to
        one whose set then still has no more than that.

        Returns:
            The job that gave way.

        Raises:
            OverloadedError: all places are taken, and none is due to this job's set.
        """
        key = job.patch_set
        displaced = self._make_room(key) if self._jobs >= self._size else None
        self._sets.setdefault(key, deque()).append(job)
        self._count(job, 1)
        self._soonest = min(self._soonest, job.deadline)
        return displaced

    def take_one(self) -> Job | None:
        """Take the oldest job of the set whose turn it is; None if nothing waits."""
        return self._take_from(next(iter(self._sets))) if self._sets else None

    def take(self, room: int, like: Job) -> list[Job]:
        """Take what is to be computed together with a job: one of each set in turn, and again.

        Args:
            room: images that may be taken.
            like: what all of them have to go with.
        """
        taken: list[Job] = []
        turns = deque(self._sets)
        while turns and room > 0:
            key = turns.popleft()
            job = self._take_from(key, room, like)
            if job is None:
                continue  # a set that has nothing for this batch keeps its place
            taken.append(job)
            room -= len(job.images)
            if key in self._sets:
                turns.append(key)
        return taken

    def drop_late(self, now: float) -> list[Job]:
        """Take out the jobs whose deadline has come."""
        if now < self._soonest:
            return []
        late = self._drop(lambda job: job.deadline <= now)
        self._soonest = min((job.deadline for job in self._all()), default=math.inf)
        return late

    def _make_room(self, key: PatchSetKey) -> Job | None:
        if self._drop(lambda job: job.result.cancelled()):  # nobody waits for these any more
            return None
        largest = max(self._sets, key=lambda one: len(self._sets[one]))
        own = len(self._sets.get(key, ()))
        if own + 1 >= len(self._sets[largest]):
            raise OverloadedError(f"{self._jobs} requests wait already (RWS_QUEUE_SIZE): try again")
        job = self._sets[largest].pop()  # another is left, for it has two more than this one
        self._count(job, -1)
        return job

    def _take_from(
        self, key: PatchSetKey, room: float = math.inf, like: Job | None = None
    ) -> Job | None:
        """Take the oldest job of a set that fits; the set goes behind all others."""
        waiting = self._sets[key]
        for place, job in enumerate(waiting):
            if len(job.images) <= room and (like is None or job.goes_with(like)):
                del waiting[place]
                self._count(job, -1)
                self._sets.move_to_end(key)
                if not waiting:
                    del self._sets[key]
                return job
        return None

    def _drop(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        dropped = [job for job in self._all() if unwanted(job)]
        if dropped:
            gone = set(map(id, dropped))
            left = {
                key: deque(job for job in waiting if id(job) not in gone)
                for key, waiting in self._sets.items()
            }
            self._sets = OrderedDict((key, waiting) for key, waiting in left.items() if waiting)
            for job in dropped:
                self._count(job, -1)
        return dropped

    def _count(self, job: Job, change: int) -> None:
        self._jobs += change
        self._images += change * len(job.images)

    def _all(self) -> chain[Job]:
        return chain.from_iterable(self._sets.values())
