import math
from collections import Counter

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.runtime import Chosen
from rwsstore_service.engine.errors import OverloadedError
from rwsstore_service.engine.queue import FairQueue, Job
from rwsstore_service.engine.records import Wanted
from tests.service.engine.benching import FOG, RAIN, filled


def queue_of(*jobs: Job, size: int = 1000) -> FairQueue:
    queue = FairQueue(size)
    for job in jobs:
        assert queue.add(job) is None
    return queue


def job(wanted: Wanted = None, count: int = 1, deadline: float = math.inf) -> Job:
    return Job(filled(0, count), wanted, deadline)


def taken(queue: FairQueue, room: int) -> list[Job]:
    """One batch."""
    first = queue.take_one()
    return [] if first is None else [first, *queue.take(room - len(first.images), first)]


def test_who_asks_once_is_in_the_next_batch_whoever_floods() -> None:
    flood = [job() for _ in range(50)]
    single, other = job(FOG), job(RAIN)
    queue = queue_of(*flood, single, other)
    assert taken(queue, 4) == [flood[0], single, other, flood[1]]
    assert taken(queue, 4) == flood[2:6]


def test_who_was_served_goes_behind() -> None:
    active, fog, rain = [job() for _ in range(3)], [job(FOG) for _ in range(3)], [job(RAIN)]
    queue = queue_of(*active, *fog)
    assert taken(queue, 1) == [active[0]]
    assert queue.add(rain[0]) is None
    assert taken(queue, 2) == [fog[0], active[1]]
    assert taken(queue, 3) == [rain[0], fog[1], active[2]]
    assert taken(queue, 3) == [fog[2]]
    assert taken(queue, 3) == []
    assert len(queue) == 0


def test_names_do_not_make_another_set() -> None:
    two = (Chosen("fog", "f" * 64, 0.5), Chosen("rain", "a" * 64, 1.0))
    same = (Chosen("rain@1", "a" * 64, 1.0), Chosen("f" * 64, "f" * 64, 0.5))
    stronger = (Chosen("fog", "f" * 64, 0.75), two[1])
    assert job(two).patch_set == job(same).patch_set != job(stronger).patch_set
    assert len({job(None).patch_set, job(()).patch_set, job(FOG).patch_set}) == 3


def test_what_does_not_fit_keeps_its_place() -> None:
    active, large, small, odd = job(), job(FOG, 4), job(RAIN), job(())
    odd.images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    queue = queue_of(active, large, small, odd)
    assert taken(queue, 4) == [active, small]
    assert taken(queue, 4) == [large]
    assert taken(queue, 4) == [odd]


def test_a_job_too_large_for_any_batch_runs_alone() -> None:
    large, small = job(count=9), job(FOG)
    queue = queue_of(large, small)
    assert taken(queue, 8) == [large]
    assert taken(queue, 8) == [small]


def test_images_are_counted() -> None:
    queue = queue_of(job(count=2), job(FOG, count=3))
    assert (len(queue), queue.images) == (2, 5)
    late, gone = job(count=4, deadline=1), job(FOG, count=6)
    assert queue.add(late) is queue.add(gone) is None
    assert queue.images == 15
    assert queue.drop_late(1) == [late]
    assert queue.images == 11
    assert queue.take_one() is not None
    assert queue.images in (9, 8)


def test_images_of_those_who_gave_way_are_not_counted() -> None:
    flood = [job(count=2), job(count=3), job(count=4)]
    queue = queue_of(*flood, size=3)
    assert queue.add(job(FOG)) is flood[2]
    assert queue.images == 6
    flood[0].result.cancel()
    assert queue.add(job(FOG, count=5)) is None
    assert queue.images == 9


def test_the_newest_of_the_largest_set_gives_way() -> None:
    flood, fog = [job() for _ in range(4)], [job(FOG) for _ in range(3)]
    queue = queue_of(*flood, fog[0], size=5)
    assert queue.add(fog[1]) is flood[3]
    with pytest.raises(OverloadedError, match="5 requests wait"):
        queue.add(fog[2])  # it would only change places
    with pytest.raises(OverloadedError):
        queue.add(job())
    assert queue.add(job(RAIN)) is flood[2]
    assert len(queue) == 5


def test_who_went_away_makes_room_first() -> None:
    flood = [job() for _ in range(3)]
    queue = queue_of(*flood, size=3)
    flood[0].result.cancel()
    newest = job()
    assert queue.add(newest) is None
    assert taken(queue, 8) == [flood[1], flood[2], newest]


def test_the_late_are_dropped_wherever_they_wait() -> None:
    jobs = [job(deadline=3), job(FOG, deadline=1), job(deadline=2), job(RAIN)]
    queue = queue_of(*jobs)
    assert queue.soonest == 1
    assert queue.drop_late(0.5) == []
    assert set(map(id, queue.drop_late(2))) == {id(jobs[1]), id(jobs[2])}
    assert (len(queue), queue.soonest) == (2, 3)
    assert taken(queue, 8) == [jobs[0], jobs[3]]
    assert queue.drop_late(5) == []


@given(
    sets=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    counts=st.lists(st.integers(1, 6), min_size=40, max_size=40),
    room=st.integers(1, 8),
)
def test_nothing_is_lost_and_no_batch_is_unfair(
    sets: list[int], counts: list[int], room: int
) -> None:
    wanted = [(Chosen("fog", "f" * 64, float(one)),) for one in range(5)]
    jobs = [job(wanted[one], count) for one, count in zip(sets, counts, strict=False)]
    queue, served = queue_of(*jobs), list[Job]()
    waits = dict.fromkeys(sets, 0)
    while batch := taken(queue, room):
        assert sum(len(one.images) for one in batch) <= room or len(batch) == 1
        served += batch
        assert queue.images == sum(len(one.images) for one in jobs if one not in served)
        left = {sets[number] for number, one in enumerate(jobs) if one not in served}
        lucky = {sets[jobs.index(one)] for one in batch}
        waits = {one: 0 if one in lucky else waits[one] + 1 for one in left}
        assert max(waits.values(), default=0) < len(set(sets))  # a turn of each of the others
    assert Counter(map(id, served)) == Counter(map(id, jobs))
