from collections.abc import Iterator
from concurrent.futures import wait

import pytest
import torch

from rwsstore.runtime import Chosen
from rwsstore_service.engine.errors import DeadlineError, OverloadedError, StoppingError
from rwsstore_service.engine.lanes import Gatherer, Inference
from rwsstore_service.engine.queue import Job
from rwsstore_service.engine.records import Wanted
from tests.service.engine.benching import FOG, PATIENCE, RAIN, Bench, digest, filled, rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.end()


def test_what_wants_the_same_weights_is_computed_together(bench: Bench) -> None:
    first, second, third = bench.submit(1), bench.submit(2, count=3), bench.submit(5, count=2)
    bench.go()
    assert rows(first) == [[1, 6]]
    assert rows(second) == [[2, 6]] * 3
    assert rows(third) == [[5, 6]] * 2
    assert bench.batches == [(6, 3, 1)]
    assert bench.prepared == [None]


def test_so_is_what_wants_other_weights(bench: Bench) -> None:
    wanted = [None, FOG, RAIN, FOG, None, ()]
    futures = [bench.submit(value, wanted=one) for value, one in enumerate(wanted)]
    bench.go()
    expected = ["active", "fog", "rain", "fog", "active", "none"]
    assert [digest(future) for future in futures] == expected
    assert [rows(future) for future in futures] == [[[value, 6]] for value in range(6)]
    assert [future.result().generation for future in futures] == [7, None, None, None, 7, None]
    assert [future.result().patches for future in futures] == [one or () for one in wanted]
    assert bench.prepared == [None, FOG, RAIN, ()]
    assert bench.batches == [(6, 6, 4)]
    assert sorted(bench.variants[0]) == sorted(expected)


def test_each_image_has_the_weights_of_its_own_request(bench: Bench) -> None:
    bench.submit(1, count=2, wanted=FOG)
    bench.submit(2, count=1)
    bench.submit(3, count=3, wanted=RAIN)
    bench.end()
    assert bench.variants == [["fog", "fog", "active", "rain", "rain", "rain"]]


def test_the_same_patches_at_another_strength_are_other_weights(bench: Bench) -> None:
    stronger = (Chosen("fog", "f" * 64, 0.75),)
    futures = [bench.submit(1, wanted=FOG), bench.submit(2, wanted=stronger)]
    bench.go()
    wait(futures, PATIENCE)
    assert bench.prepared == [FOG, stronger]


def test_patch_sets_take_turns_and_of_each_the_oldest_goes_first() -> None:
    bench, order = Bench(batching=False), list[int]()
    wanted: list[Wanted] = [RAIN, RAIN, RAIN, FOG, None, FOG]
    for number, one in enumerate(wanted):
        future = bench.submit(number, wanted=one)
        future.add_done_callback(lambda _future, number=number: order.append(number))  # type: ignore[misc]
    bench.end()
    assert order == [0, 3, 4, 1, 5, 2]


def test_another_size_or_type_is_another_batch(bench: Bench) -> None:
    shapes = [((1, 3, 2, 2), torch.uint8), ((1, 3, 4, 4), torch.uint8)]
    shapes += [((1, 3, 2, 2), torch.float32), ((2, 3, 2, 2), torch.uint8)]
    futures = [bench.thread.submit(Job(torch.zeros(s, dtype=t), None)) for s, t in shapes]
    bench.go()
    wait(futures, PATIENCE)
    assert bench.batches == [(3, 2, 1), (1, 1, 1), (1, 1, 1)]


def test_a_batch_has_a_bound(bench: Bench) -> None:
    futures = [bench.submit(value, count) for value, count in enumerate([3, 4, 2, 1, 20])]
    bench.go()
    assert [rows(future)[0] for future in futures] == [
        [0, 8], [1, 8], [2, 2], [3, 8], [4, 20],
    ]  # fmt: skip
    assert bench.batches == [(8, 3, 1), (2, 1, 1), (20, 1, 1)]


def test_batching_can_be_off() -> None:
    bench = Bench(batching=False)
    futures = [bench.submit(value) for value in range(3)]
    bench.go()
    assert [rows(future) for future in futures] == [[[0, 1]], [[1, 1]], [[2, 1]]]
    assert bench.batches == [(1, 1, 1)] * 3
    bench.end()


def test_a_full_queue_refuses() -> None:
    bench = Bench(queue_size=2)
    kept = [bench.submit(value) for value in range(2)]
    assert bench.gatherer.waiting == 2
    with pytest.raises(OverloadedError, match="RWS_QUEUE_SIZE"):
        bench.submit(2)
    bench.go()
    wait(kept, PATIENCE)
    assert rows(bench.submit(3)) == [[3, 1]]
    assert bench.gatherer.waiting == 0
    assert bench.dropped == []
    bench.end()


def test_who_floods_the_queue_gives_way_to_others() -> None:
    bench = Bench(queue_size=3)
    flood = [bench.submit(value) for value in range(3)]
    other = bench.submit(9, wanted=FOG)
    with pytest.raises(OverloadedError, match="other patch sets"):
        flood[2].result(0)
    third = bench.submit(10, wanted=RAIN)
    with pytest.raises(OverloadedError, match="RWS_QUEUE_SIZE"):
        bench.submit(11, wanted=())  # with one each, nobody has too many
    assert bench.gatherer.waiting == 3
    bench.go()
    assert [rows(future)[0][0] for future in (flood[0], other, third)] == [0, 9, 10]
    assert bench.dropped == ["displaced"] * 2
    bench.end()


def test_calls_go_ahead_of_predictions(bench: Bench) -> None:
    order: list[str] = []
    for wanted in (None, FOG):
        bench.submit(1, wanted=wanted).add_done_callback(lambda _: order.append("prediction"))
    calls = [bench.thread.call(lambda: order.append("call")) for _ in range(2)]
    bench.go()
    wait(calls, PATIENCE)
    bench.thread.stop(PATIENCE)
    assert order == ["call", "call", "prediction", "prediction"]


def test_a_trial_rides_with_what_waits(bench: Bench) -> None:
    waiting = [bench.submit(value, wanted=FOG) for value in range(8)]
    tried = bench.trial(50, count=2)
    bench.go()
    assert rows(tried) == [[50, 8]] * 2
    assert digest(tried) == "tried"
    wait(waiting, PATIENCE)
    assert bench.variants == [["tried"] * 2 + ["fog"] * 6, ["fog"] * 2]
    assert bench.batches == [(6, 6, 1), (2, 2, 1)]  # it is nobody's request
    assert bench.prepared == [FOG, FOG]


def test_a_trial_runs_at_once_where_nothing_waits(bench: Bench) -> None:
    tried = bench.trial(50)
    bench.go()
    assert rows(tried) == [[50, 1]]
    bench.end()
    assert bench.batches == []


def test_a_trial_runs_alone_without_batching() -> None:
    bench = Bench(batching=False)
    asked, tried = bench.submit(1), bench.trial(2)
    bench.end()
    assert (rows(tried), rows(asked)) == ([[2, 1]], [[1, 1]])
    assert bench.variants == [["tried"], ["active"]]


def test_a_call_that_fails_tells_its_caller(bench: Bench) -> None:
    def fail() -> None:
        raise KeyError("fog")

    future = bench.thread.call(fail)
    bench.go()
    with pytest.raises(KeyError):
        future.result(PATIENCE)
    assert bench.thread.call(lambda: 5).result(PATIENCE) == 5


def test_stopping_finishes_what_was_accepted(bench: Bench) -> None:
    futures = [bench.submit(1), bench.submit(2, wanted=FOG), bench.trial(3)]
    called = bench.thread.call(lambda: "done")
    bench.thread.stop(0)
    assert not bench.thread.alive
    for refused in (
        lambda: bench.submit(3),
        lambda: bench.trial(3),
        lambda: bench.thread.call(lambda: None),
    ):
        with pytest.raises(StoppingError):
            refused()
    bench.end()
    assert [rows(future) for future in futures] == [[[1, 3]], [[2, 3]], [[3, 3]]]
    assert called.result(PATIENCE) == "done"


def test_what_never_began_can_be_stopped() -> None:
    thread = Inference(
        lambda _wanted: pytest.fail("nothing is computed"),
        lambda _images, _variants: pytest.fail("nothing is computed"),
        Gatherer(lanes=1, queue_size=1, max_batch=1, batching=True),
    )
    assert not thread.alive
    thread.stop()


def test_who_went_away_is_passed_over(bench: Bench) -> None:
    gone, alone, kept = bench.submit(1), bench.submit(2, wanted=FOG), bench.submit(3)
    call = bench.thread.call(lambda: pytest.fail("it was cancelled"))
    assert gone.cancel()
    assert alone.cancel()
    assert call.cancel()
    bench.go()
    assert rows(kept) == [[3, 1]]
    bench.thread.stop(PATIENCE)
    assert bench.batches == [(1, 1, 1)]
    assert bench.prepared == [None]


def test_an_answer_says_how_it_came_about(bench: Bench) -> None:
    bench.clock = 10.0
    first = bench.submit(1)
    bench.clock = 12.5
    second = bench.submit(2)

    def pass_time(_wanted: Wanted) -> None:
        bench.clock += 0.25

    bench.fail, bench.clock = pass_time, 13.0
    bench.go()
    found = first.result(PATIENCE), second.result(PATIENCE)
    assert [one.queued for one in found] == [3.0, 0.5]
    assert [one.computed for one in found] == [0.25, 0.25]
    assert {(one.generation, one.state_digest, one.patches) for one in found} == {(7, "active", ())}


def test_what_is_late_is_not_computed(bench: Bench) -> None:
    late = bench.submit(1, deadline=5.0), bench.submit(2, wanted=FOG, deadline=4.0)
    in_time = bench.submit(3, deadline=5.5)
    bench.clock = 5.0
    bench.go()
    for future in late:
        with pytest.raises(DeadlineError, match="timeout_ms"):
            future.result(PATIENCE)
    assert rows(in_time) == [[3, 1]]
    assert bench.dropped == ["deadline", "deadline"]
    bench.end()
    assert bench.batches == [(1, 1, 1)]
    assert bench.prepared == [None]


def test_what_comes_late_is_not_even_queued() -> None:
    bench = Bench(queue_size=1)
    kept = bench.submit(1)
    bench.clock = 5.0
    with pytest.raises(DeadlineError):
        bench.submit(2, wanted=FOG, deadline=5.0)
    assert bench.gatherer.waiting == 1
    assert bench.dropped == ["deadline"]
    bench.go()
    assert rows(kept) == [[1, 1]]
    bench.end()


def test_who_went_away_is_not_counted_as_late(bench: Bench) -> None:
    gone = bench.submit(1, deadline=1.0)
    assert gone.cancel()
    bench.clock = 2.0
    bench.end()
    assert bench.dropped == []


def test_it_ends_when_all_that_waits_is_late(bench: Bench) -> None:
    late = bench.thread.submit(Job(filled(1), None, deadline=1.0))
    bench.clock = 2.0
    bench.thread.stop(0)
    bench.end()
    assert isinstance(late.exception(0), DeadlineError)
    assert not bench.thread.alive
