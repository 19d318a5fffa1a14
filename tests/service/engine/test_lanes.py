"""Several lanes over one queue."""

import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from torch import Tensor

from rwsstore.runtime import Variant
from rwsstore_service.engine.errors import StoppingError
from tests.service.engine.benching import FOG, PATIENCE, Bench, means, rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(lanes=2)
    yield made
    made.end()


def meet(bench: Bench, lanes: int = 2) -> None:
    """Let no batch end before so many are computed."""
    barrier = threading.Barrier(lanes)

    def predict(images: Tensor, variants: Sequence[Variant]) -> Tensor:
        barrier.wait(PATIENCE)
        return means(images, variants)

    bench.predict = predict


def test_they_compute_at_the_same_time_and_share_what_waits(bench: Bench) -> None:
    meet(bench)
    futures = [bench.submit(value, wanted=FOG if value % 2 else None) for value in range(16)]
    bench.go()
    assert [rows(future) for future in futures] == [[[value, 8]] for value in range(16)]
    assert bench.batches == [(8, 8, 2), (8, 8, 2)]


def test_who_computes_beside_others_has_its_share(bench: Bench) -> None:
    meet(bench)
    for value in range(16):
        bench.submit(value)
    bench.end()
    assert [wide[-1] for wide in bench.wide] == [False, False]


def test_who_is_alone_has_all() -> None:
    bench = Bench()
    bench.submit(1)
    bench.end()
    assert bench.wide[0][-1]


def test_a_call_in_one_lane_leaves_the_other_to_predictions(bench: Bench) -> None:
    goes_on = threading.Event()
    called = bench.thread.call(lambda: goes_on.wait(PATIENCE))
    bench.go()
    assert rows(bench.submit(1)) == [[1, 1]]
    assert not called.done()
    goes_on.set()
    assert called.result(PATIENCE)


def test_stopping_finishes_what_was_accepted(bench: Bench) -> None:
    meet(bench)
    futures = [bench.submit(value) for value in range(16)]
    called = bench.thread.call(lambda: "done")
    bench.thread.stop(0)
    with pytest.raises(StoppingError):
        bench.submit(3)
    bench.end()
    assert [len(rows(future)) for future in futures] == [1] * 16
    assert called.result(PATIENCE) == "done"
    names = {thread.name for thread in bench.threads if thread.is_alive()}
    assert names == set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is meant
def test_it_is_alive_while_every_lane_is(bench: Bench) -> None:
    def end() -> None:
        ending.append(threading.current_thread())
        begun.set()
        sys.exit()

    ending, begun = list[threading.Thread](), threading.Event()
    alive = [bench.thread.alive]
    bench.thread.call(end)
    bench.go()
    assert begun.wait(PATIENCE)
    ending[0].join(PATIENCE)
    alive.append(bench.thread.alive)
    assert alive == [True, False]
    assert rows(bench.submit(1)) == [[1, 1]]  # the other goes on


def test_results_are_delivered_once_a_batch() -> None:
    bench = Bench()
    for value in range(5):
        bench.submit(value)
    bench.end()
    assert bench.flushed == [0, 5]  # after the call that let it go, and the batch


def test_who_is_late_is_told_before_the_others_are_computed() -> None:
    bench = Bench()
    bench.submit(1, deadline=1.0)
    bench.submit(2)
    bench.clock = 2.0
    bench.end()
    assert bench.flushed == [0, 0, 1]


def test_who_is_displaced_is_told_at_once() -> None:
    bench = Bench(queue_size=2)
    bench.submit(1)
    bench.submit(2)
    assert bench.flushed == []
    bench.submit(3, wanted=FOG)
    assert bench.flushed == [0]
    bench.end()
