"""Waiting for more jobs: when, for how long, and never when idle."""

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any

import pytest
from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.queue import Pace
from rwsstore_service.engine.records import PredictedImages, Wanted
from tests.service.engine.benching import FOG, PATIENCE, Bench, means, rows

WAIT = 0.002


def pace_after(jobs: int, seconds: float = 1.0, longest: float = WAIT, waiting: int = 0) -> Pace:
    """After a batch that ended at 10."""
    pace = Pace(longest)
    pace.ended(jobs, waiting, seconds, 10.0, images=jobs + waiting)
    return pace


def test_it_waits_for_as_many_as_there_were() -> None:
    pace = pace_after(3)
    assert pace.until(1, 10.0, math.inf) == 10.0 + WAIT
    assert pace.until(2, 10.001, math.inf) == 10.0 + WAIT
    assert pace.until(3, 10.001, math.inf) == 10.001


def test_those_that_came_meanwhile_and_those_just_answered_go_together() -> None:
    pace = pace_after(3, waiting=2)
    assert pace.until(4, 10.0, math.inf) == 10.0 + WAIT
    assert pace.until(5, 10.0, math.inf) == 10.0


def test_it_never_waits_after_one_job_alone_nor_before_the_first() -> None:
    assert pace_after(1).until(0, 10.0, math.inf) <= 10.0
    assert Pace(WAIT).until(0, 0.0, math.inf) <= 0.0
    assert pace_after(5, longest=0.0).until(1, 10.0, math.inf) <= 10.0


def test_it_never_waits_when_idle() -> None:
    assert pace_after(3).until(1, 10.0 + WAIT, math.inf) <= 10.0 + WAIT


def test_half_of_the_last_batch_is_the_most() -> None:
    assert pace_after(3, seconds=0.002).until(1, 10.0, math.inf) == pytest.approx(10.001)


def test_a_batch_that_ends_meanwhile_makes_nobody_wait_longer() -> None:
    assert pace_after(3).until(1, 9.999, math.inf) == pytest.approx(9.999 + WAIT)


def test_half_of_a_deadline_is_left() -> None:
    pace = pace_after(3)
    assert pace.until(1, 10.0, 10.001) == pytest.approx(10.0005)
    assert pace.until(1, 10.0, 10.1) == 10.0 + WAIT
    assert pace.until(1, 10.0, 9.0) <= 10.0


def test_what_brings_nobody_is_tried_more_and_more_seldom() -> None:
    pace, waited = Pace(WAIT), list[int]()
    for number in range(100):
        pace.ended(4, 0, 1.0, float(number), images=4)
        if pace.until(1, float(number), math.inf) > number:
            waited.append(number)
            pace.waited(0)
    assert waited == [0, 2, 5, 10, 19, 36, 69]
    pace.waited(1)
    pace.ended(4, 0, 1.0, 100.0, images=4)
    assert pace.until(1, 100.0, math.inf) > 100.0


class Waiting:
    """A bench whose waits are told, and do what they are told to.

    A wait while nobody is there keeps nobody waiting, and is not told.
    """

    def __init__(self, **options: Any) -> None:
        self.waits: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []
        self.bench = Bench(batch_wait=WAIT, wait=self._wait, **options)
        self.bench.predict = self._predict

    def _wait(self, _changed: threading.Condition, seconds: float) -> None:
        if self.bench.gatherer.waiting:
            self.waits.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        else:
            self.bench.clock += seconds

    def _predict(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        self.bench.clock += 1.0
        return means(images, variants)

    def busy(self, jobs: int = 3, **asked: Any) -> None:
        """Compute a batch of several, before the end of which one of their clients asks again."""
        again: list[Future[PredictedImages]] = []

        def predict(images: Tensor, variants: Sequence[Variant]) -> Tensor:
            self.bench.predict = self._predict
            again.append(self.bench.submit(7, **asked))
            return self._predict(images, variants)

        self.bench.predict = predict
        futures = [self.bench.submit(value) for value in range(jobs)]
        self.bench.go()
        wait(futures, PATIENCE)
        rows(again[0])


@pytest.mark.parametrize("wanted", [None, FOG])
def test_the_clients_of_a_batch_are_waited_for(wanted: Wanted) -> None:
    made = Waiting()
    made.meanwhile = [
        lambda: made.bench.submit(8, wanted=wanted),
        lambda: made.bench.submit(9),
        lambda: made.bench.submit(10),
    ]
    made.busy()
    made.bench.end()
    assert made.waits == pytest.approx([WAIT] * 3)
    assert [jobs for _, jobs, _ in made.bench.batches] == [3, 4]


def test_no_longer_than_the_bound() -> None:
    made = Waiting()
    made.busy()
    made.bench.end()
    assert made.waits == pytest.approx([WAIT])
    assert [jobs for _, jobs, _ in made.bench.batches] == [3, 1]


def test_a_client_alone_never_waits() -> None:
    made = Waiting()
    made.bench.go()
    for value in range(5):
        assert rows(made.bench.submit(value)) == [[value, 1]]
    made.bench.end()
    assert made.waits == []


def test_who_is_left_alone_waits_once() -> None:
    made = Waiting()
    made.busy()
    for value in range(4):
        rows(made.bench.submit(value))
    made.bench.end()
    assert made.waits == pytest.approx([WAIT])


def test_as_many_images_as_a_batch_has_are_enough() -> None:
    made = Waiting(max_batch=4)
    made.busy(count=4)
    made.bench.end()
    assert made.waits == []


def test_a_change_is_not_kept_waiting() -> None:
    made = Waiting()
    called: list[float] = []
    made.meanwhile = [lambda: made.bench.thread.call(lambda: called.append(made.bench.clock))]
    made.busy()
    made.bench.end()
    assert called == [1.0]  # no time went by


def test_a_trial_waits_as_long_as_predictions() -> None:
    made = Waiting()
    made.meanwhile = [lambda: made.bench.trial(50)]
    made.busy()
    made.bench.end()
    assert made.waits == pytest.approx([WAIT, WAIT])  # no time went by in the first
    assert made.bench.variants[1] == ["tried", "active"]


def test_nobody_waits_past_a_deadline() -> None:
    made = Waiting()
    made.busy(deadline=1.001)
    made.bench.end()
    assert made.waits == pytest.approx([0.0005])
    assert made.bench.dropped == []


def test_without_batching_nobody_waits() -> None:
    made = Waiting(batching=False)
    made.busy()
    made.bench.end()
    assert made.waits == []
