"""What a lane takes, and when it is woken."""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.errors import StoppingError
from rwsstore_service.engine.lanes import Gatherer, Work
from rwsstore_service.engine.queue import Job, ReadyVariant
from tests.service.engine.benching import PATIENCE, filled, variant

WAIT = 0.01


class Room:
    """A gatherer, its time, and a lane that may sleep in a thread of its own.

    Attributes:
        waits: seconds of every sleep that has an end.
        sleep: what is done instead; lets time go by unless told otherwise.
        clock: the time.
    """

    def __init__(self, lanes: int = 2, **options: Any) -> None:
        self.waits: list[float] = []
        self.sleep: Callable[[threading.Condition, float], None] = self.pass_time
        self.clock = 0.0
        self.gatherer = Gatherer(
            lanes=lanes,
            clock=lambda: self.clock,
            wait=self._wait,
            **{
                "queue_size": 1000,
                "max_batch": 64,
                "batching": True,
                "batch_wait": WAIT,
                **options,
            },
        )

    def _wait(self, changed: threading.Condition, seconds: float) -> None:
        self.waits.append(seconds)
        self.sleep(changed, seconds)

    def pass_time(self, _changed: threading.Condition, seconds: float) -> None:
        self.clock += seconds

    def add(self, count: int, images: int = 1, deadline: float = math.inf) -> None:
        for _ in range(count):
            self.gatherer.add(Job(filled(0, images), None, deadline, queued_at=self.clock))

    def take(self) -> Work:
        work = self.gatherer.take()
        assert work is not None
        return work

    def ended(self, work: Work, *, told: bool = True) -> None:
        """A lane's batch of a second ends."""
        if told:
            self.gatherer.ended(Batch(work.images, len(work.batch), 1, 1.0))
        self.gatherer.done(work)

    def busy(self, jobs: int = 16) -> tuple[Work, Work]:
        """Two lanes compute, and nothing waits."""
        self.add(jobs)
        return self.take(), self.take()


def sizes(room: Room, lanes: int) -> list[int]:
    return [len(room.take().batch) for _ in range(lanes)]


def test_lanes_share_what_waits() -> None:
    room = Room()
    room.add(16)
    assert sizes(room, 2) == [8, 8]
    room = Room(lanes=3)
    room.add(16)
    assert sizes(room, 3) == [6, 6, 4]


def test_one_lane_takes_all() -> None:
    room = Room(lanes=1)
    room.add(16)
    assert sizes(room, 1) == [16]


def test_images_are_shared_not_jobs() -> None:
    room = Room()
    room.add(4, images=6)
    assert sizes(room, 2) == [2, 2]


def test_a_few_are_not_shared() -> None:
    room = Room()
    room.add(5)
    assert sizes(room, 2) == [4, 1]


def test_a_share_is_not_more_than_a_batch() -> None:
    room = Room(max_batch=8)
    room.add(100)
    assert sizes(room, 2) == [8, 8]


def test_who_is_expected_counts_among_those_who_wait() -> None:
    room = Room()
    first, second = room.busy(32)
    room.ended(second, told=False)
    room.ended(first)
    room.add(5)  # of 16, of which 8 are its share
    assert sizes(room, 1) == [5]
    assert room.waits == [WAIT]


def test_one_lane_waits_for_jobs_however_many_images_they_have() -> None:
    room = Room(lanes=1)
    room.add(4)
    room.ended(room.take())
    room.add(1, images=8)
    assert sizes(room, 1) == [1]
    assert room.waits == [WAIT]


def test_without_batching_each_is_alone() -> None:
    room = Room(lanes=1, batching=False)
    room.add(3)
    assert sizes(room, 3) == [1, 1, 1]


def test_who_is_alone_is_wide() -> None:
    room = Room()
    room.add(1)
    first = room.take()
    room.add(1)
    second = room.take()
    assert (first.wide, second.wide) == (True, False)
    room.ended(first)
    room.add(1)
    assert not room.take().wide
    room = Room()
    room.add(5)
    first = room.take()
    assert not first.wide  # one more waits
    room.ended(first, told=False)
    assert room.take().wide


def test_a_call_is_wide_too_and_makes_others_narrow() -> None:
    room = Room()
    room.gatherer.add_call(lambda: None)
    call = room.take()
    room.add(1)
    other = room.take()
    assert (call.wide, call.batch, other.wide) == (True, (), False)
    room.gatherer.add_call(lambda: None)
    assert not room.take().wide


def test_when_it_was_stopped_every_lane_takes_what_is_left_and_ends() -> None:
    room = Room()
    room.add(16)
    room.gatherer.stop()
    with pytest.raises(StoppingError):
        room.add(1)
    works = room.take(), room.take()
    assert [room.gatherer.take() for _ in works] == [None, None]
    assert [len(work.batch) for work in works] == [8, 8]


# Sleeping: one lane waits in a thread, and the test does what may wake it.


class Lane:
    """A lane that gathers, asleep, in a window of WAIT after a batch of 8; another computes 8.

    Attributes:
        other: what the other lane computes.
        woken: how often it was notified.
    """

    def __init__(self, *, waiting: int = 0) -> None:
        self.room = Room()
        self.woken = 0
        self._asleep = threading.Event()
        first, self.other = self.room.busy()
        self.room.ended(first)
        self.room.add(waiting)
        self.room.sleep = self._sleep
        self._pool = ThreadPoolExecutor(1)
        self._work: Future[Work] = self._pool.submit(self.room.take)
        assert self._asleep.wait(PATIENCE)

    def _sleep(self, changed: threading.Condition, _seconds: float) -> None:
        notify = changed.notify

        def noting(n: int = 1) -> None:
            self.woken += 1
            notify(n)

        if not self._asleep.is_set():
            changed.notify = noting  # type: ignore[method-assign]  # to see it from outside
        self._asleep.set()
        assert changed.wait(PATIENCE)

    def work(self) -> Work:
        return self._work.result(PATIENCE)

    def close(self) -> None:
        self.room.gatherer.stop()
        self._pool.shutdown()


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane()
    yield made
    made.close()


def test_it_is_woken_once_when_all_are_there(lane: Lane) -> None:
    lane.room.add(7)
    assert lane.woken == 0
    lane.room.add(1)
    assert lane.woken == 1
    lane.room.add(2)  # it is awake, or about to be
    assert lane.woken == 1
    assert len(lane.work().batch) >= 8


def test_images_enough_wake_it(lane: Lane) -> None:
    lane.room.add(1, images=7)
    assert lane.woken == 0
    lane.room.add(1, images=1)  # 8 of 16
    assert lane.woken == 1
    assert lane.work().images == 8


def test_a_nearer_deadline_wakes_it(lane: Lane) -> None:
    lane.room.add(1, deadline=4 * WAIT)
    assert lane.woken == 0
    lane.room.add(1, deadline=WAIT)
    assert lane.woken == 1
    lane.room.gatherer.stop()
    assert len(lane.work().batch) == 2
    assert lane.room.waits == pytest.approx([WAIT, WAIT / 2][: len(lane.room.waits)])


def test_what_is_urgent_wakes_it(lane: Lane) -> None:
    lane.room.add(1)
    assert lane.woken == 0
    lane.room.gatherer.add_call(lambda: None)
    assert lane.woken == 1
    assert lane.work().call is not None


def test_a_trial_does_not_wake_it_before_the_others_came(lane: Lane) -> None:
    tried = Job(filled(0), None, given=ReadyVariant(variant("tried"), (), None))
    lane.room.gatherer.add(tried)
    assert lane.woken == 0
    lane.room.add(8)
    assert lane.woken == 1
    batch = lane.work().batch
    assert batch[0] is tried
    assert len(batch) == 8


def test_a_trial_wakes_who_sleeps_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    room, woken = Room(), list[int]()
    monkeypatch.setattr(room.gatherer._changed, "notify", lambda: woken.append(1))
    room.gatherer._sleeps_until = math.inf
    room.gatherer.add(Job(filled(0), None, given=ReadyVariant(variant("tried"), (), None)))
    assert woken == [1]
    work = room.gatherer.take()
    assert work is not None
    assert len(work.batch) == 1


def test_what_is_enough_once_the_other_lane_has_ended_wakes_it() -> None:
    lane = Lane(waiting=7)
    lane.room.ended(lane.other, told=False)  # its clients do not come again
    assert lane.woken == 1
    assert len(lane.work().batch) == 4
    lane.close()


def test_the_other_lanes_end_alone_does_not_wake_it(lane: Lane) -> None:
    lane.room.ended(lane.other)
    assert lane.woken == 0


def test_who_sleeps_idle_is_woken_by_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    room, woken = Room(), list[int]()
    first, _ = room.busy()
    monkeypatch.setattr(room.gatherer._changed, "notify", lambda: woken.append(1))
    room.gatherer._sleeps_until = math.inf
    room.ended(first)  # those it answered may come again, but nobody is there
    assert woken == []
    room.add(1)
    assert woken == [1]


def test_after_an_idle_sleep_the_bound_counts_from_the_first_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, asleep = Room(), threading.Event()
    sleep = room.gatherer._changed.wait

    def noting() -> bool:
        asleep.set()
        return sleep(PATIENCE)

    first, second = room.busy()
    room.ended(second, told=False)
    monkeypatch.setattr(room.gatherer._changed, "wait", noting)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(room.take)
        assert asleep.wait(PATIENCE)
        room.clock = 5.0
        room.ended(first)
        room.add(1)
        assert len(work.result(PATIENCE).batch) == 1
    assert room.waits == pytest.approx([WAIT])


def test_nobody_gathers_while_it_does() -> None:
    room, led = Room(), list[bool]()

    def sleep(_changed: threading.Condition, seconds: float) -> None:
        led.append(room.gatherer._leading.locked())
        room.clock += seconds

    first, _ = room.busy()
    room.ended(first)
    room.add(2)
    room.sleep = sleep
    assert len(room.take().batch) == 2
    assert led == [True]
    assert not room.gatherer._leading.locked()


def test_who_comes_first_while_the_window_is_open_is_waited_with() -> None:
    def sleep(changed: threading.Condition, seconds: float) -> None:
        room.add(3)
        room.pass_time(changed, seconds)

    room = Room()
    first, _ = room.busy()
    room.ended(first)
    room.sleep = sleep
    assert len(room.take().batch) == 3
    assert room.waits == [WAIT]


def test_a_window_in_which_nobody_comes_is_no_wait_in_vain() -> None:
    def sleep(changed: threading.Condition, seconds: float) -> None:
        room.pass_time(changed, seconds)
        over.set()

    room, over = Room(), threading.Event()
    first, second = room.busy()
    room.ended(second, told=False)
    room.ended(first)
    room.sleep = sleep
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(room.take)
        assert over.wait(PATIENCE)  # from now on it sleeps without an end
        room.add(1)
        assert len(work.result(PATIENCE).batch) == 1
    room.ended(work.result(), told=False)
    first, _ = room.busy()
    room.ended(first)
    room.add(1)
    assert len(room.take().batch) == 1
    assert room.waits == pytest.approx([WAIT, WAIT])  # not passed over
