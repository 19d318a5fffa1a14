"""What waits for a lane: jobs, each patch set's turn among them, and when waiting for more pays."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain

from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.runtime import Chosen, Variant
from rwsstore_service.engine.errors import OverloadedError
from rwsstore_service.engine.records import PredictedImages, Wanted

PatchSetKey = frozenset[tuple[Digest, float]] | None
"""A patch set whatever its patches are called and in whichever order; None is the active one."""


@dataclass(frozen=True)
class ReadyVariant:
    """The variant that a job runs on, and how it was asked for."""

    variant: Variant
    patches: tuple[Chosen, ...]
    generation: int | None


@dataclass(eq=False)
class Job:
    """One request's images.

    Attributes:
        images: uint8 or float32 [B, 3, H, W].
        wanted: the patch set; None for the active one.
        deadline: when it is too late to begin, in seconds of the lanes' clock.
        given: the variant, where it need not be looked for.
        result: gets the prediction.
        queued_at: when it was put in the queue.
    """

    images: Tensor
    wanted: Wanted
    deadline: float = math.inf
    given: ReadyVariant | None = None
    result: Future[PredictedImages] = field(default_factory=Future)
    queued_at: float = 0.0

    @property
    def patch_set(self) -> PatchSetKey:
        """Whose turn it takes."""
        if self.wanted is None:
            return None
        return frozenset((one.digest, one.alpha) for one in self.wanted)

    def goes_with(self, other: "Job") -> bool:
        """Whether the images of both can stand in one tensor."""
        return (
            self.images.dtype == other.images.dtype
            and self.images.shape[1:] == other.images.shape[1:]
        )


class FairQueue:
    """A bounded queue that serves patch sets in turn, and of each the oldest job first.

    So nobody waits longer because somebody else asks much with another patch set. Not safe to use
    from several threads: who shares it holds a lock.

    Args:
        size: jobs that may wait.

    Attributes:
        images: how many wait.
        soonest: the first deadline of all, or one before it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # The set whose turn is next stands first; none is ever empty.
        self._sets: OrderedDict[PatchSetKey, deque[Job]] = OrderedDict()
        self._jobs, self.images = 0, 0
        self.soonest = math.inf

    def __len__(self) -> int:
        return self._jobs

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
        self.soonest = min(self.soonest, job.deadline)
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
        if now < self.soonest:
            return []
        late = self._drop(lambda job: job.deadline <= now)
        waiting = chain.from_iterable(self._sets.values())
        self.soonest = min((job.deadline for job in waiting), default=math.inf)
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
        dropped: list[Job] = []
        for key, waiting in [*self._sets.items()]:
            left = deque[Job]()
            for job in waiting:
                (dropped if unwanted(job) else left).append(job)
            self._sets[key] = left
            if not left:
                del self._sets[key]
        for job in dropped:
            self._count(job, -1)
        return dropped

    def _count(self, job: Job, change: int) -> None:
        self._jobs += change
        self.images += change * len(job.images)


_SHARE = 0.5
_MOST_PASSED = 32


class Pace:
    """Knows how long the next batch may wait for the clients of the last one.

    Clients that were answered together ask again together, if not all at the same moment. So after
    a batch of several jobs, and never else, the next one waits for as many, and as came meanwhile:
    no longer than a bound after that batch ended, nor than half of what it took. One batch of all
    takes less time than two that take turns, each computed while the others' requests are read by
    the same cores. A wait that brings nobody is not repeated after the next batch, then not after
    the next two, four, up to 32, until one brings somebody again.

    Not safe to use from several threads: who shares it holds a lock.

    Args:
        longest: seconds; 0 for never.

    Attributes:
        images: of those that are expected, if they ask for as many again.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._expected, self.images, self._until = 0, 0, 0.0
        self._pass, self._passed = 0, 0

    def ended(self, jobs: int, waiting: int, seconds: float, now: float, images: int) -> None:
        """Tell that a batch ended.

        Args:
            jobs: that were answered.
            waiting: that came meanwhile; their clients and those just answered may go together.
            seconds: that it took.
            now: when it ended.
            images: of all these jobs.
        """
        self._expected, self.images, self._until = jobs + waiting, images, now
        if jobs < 2:
            return
        if self._passed < self._pass:
            self._passed += 1
        else:
            self._until += min(self._longest, seconds * _SHARE)

    def until(self, waiting: int, began: float, deadline: float) -> float:
        """When to wait no longer for more jobs.

        Args:
            waiting: jobs that are there.
            began: when the wait began; none is longer than the bound from there, though another
                lane's batch ends meanwhile.
            deadline: of the most urgent of them; half of its time is left to it.

        Returns:
            A time; not after `began` if there is nothing to wait for.
        """
        if waiting >= self._expected:
            return began
        return min(self._until, began + self._longest, began + (deadline - began) / 2)

    def waited(self, gained: int) -> None:
        """Tell how many jobs came while it waited."""
        self._passed = 0
        self._pass = 0 if gained else min(_MOST_PASSED, self._pass * 2 or 1)
