import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError
from rwsstore.patches import PatchSet
from rwsstore.runtime import Variant
from rwsstore_service.engine.errors import OverloadedError, StoppingError
from rwsstore_service.engine.inference import InferenceThread, Ready
from rwsstore_service.engine.records import Chosen, Prediction, Wanted

PATIENCE = 30.0

FOG: Wanted = (Chosen("fog", "f" * 64, 0.5),)
RAIN: Wanted = (Chosen("rain", "a" * 64, 1.0),)


class Means(nn.Module):
    """Of each image its mean, and how many images it was computed with."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.float().mean((1, 2, 3))
        return torch.stack([means, torch.full_like(means, len(images))], dim=1)


class Bench:
    """An inference thread that waits until it is let go.

    Attributes:
        prepared: what each batch wanted.
        batches: (images, jobs) of each.
    """

    def __init__(self, **options: object) -> None:
        self.prepared: list[Wanted] = []
        self.batches: list[tuple[int, int]] = []
        self.fail: Callable[[Wanted], None] = lambda _wanted: None
        self.clock = 0.0
        self._gate = threading.Event()
        settings: dict[str, object] = {"queue_size": 16, "max_batch": 8, "batching": True}
        self.thread = InferenceThread(
            self._prepare,
            on_batch=lambda images, jobs: self.batches.append((images, jobs)),
            clock=lambda: self.clock,
            **{**settings, **options},  # type: ignore[arg-type]
        )
        self.thread.call(lambda: self._gate.wait(PATIENCE))  # ahead of every prediction
        self.thread.start()

    def go(self) -> None:
        """Begin with what has come in until now."""
        self._gate.set()

    def submit(self, value: int, count: int = 1, wanted: Wanted = None) -> Future[Prediction]:
        """Images that are all of one value."""
        return self.thread.submit(torch.full((count, 3, 2, 2), value, dtype=torch.uint8), wanted)

    def _prepare(self, wanted: Wanted) -> Ready:
        self.prepared.append(wanted)
        self.fail(wanted)
        digest = "active" if wanted is None else "+".join(one.patch for one in wanted) or "none"
        variant = Variant(PatchSet(), {}, Means(), (), digest)
        return Ready(variant, wanted or (), 7 if wanted is None else None)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.go()
    made.thread.stop(PATIENCE)


def rows(future: Future[Prediction]) -> list[list[float]]:
    return future.result(PATIENCE).logits.tolist()


def test_what_wants_the_same_weights_is_computed_together(bench: Bench) -> None:
    first, second, third = bench.submit(1), bench.submit(2, count=3), bench.submit(5, count=2)
    bench.go()
    assert rows(first) == [[1, 6]]
    assert rows(second) == [[2, 6]] * 3
    assert rows(third) == [[5, 6]] * 2
    assert bench.batches == [(6, 3)]
    assert bench.prepared == [None]


def test_other_weights_are_never_in_one_batch(bench: Bench) -> None:
    wanted = [None, FOG, RAIN, FOG, None, ()]
    futures = [bench.submit(value, wanted=one) for value, one in enumerate(wanted)]
    bench.go()
    assert [future.result(PATIENCE).state_digest for future in futures] == [
        "active", "fog", "rain", "fog", "active", "none",
    ]  # fmt: skip
    assert [rows(future)[0][0] for future in futures] == [0, 1, 2, 3, 4, 5]
    assert bench.prepared == [None, FOG, RAIN, ()]
    assert bench.batches == [(2, 2), (2, 2), (1, 1), (1, 1)]


def test_the_same_patches_at_another_strength_are_other_weights(bench: Bench) -> None:
    stronger = (Chosen("fog", "f" * 64, 0.75),)
    futures = [bench.submit(1, wanted=FOG), bench.submit(2, wanted=stronger)]
    bench.go()
    wait(futures, PATIENCE)
    assert bench.prepared == [FOG, stronger]


def test_the_oldest_goes_first(bench: Bench) -> None:
    order: list[int] = []
    for number, wanted in enumerate([RAIN, FOG, None, RAIN]):
        future = bench.submit(number, wanted=wanted)
        future.add_done_callback(lambda _future, number=number: order.append(number))  # type: ignore[misc]
    bench.go()
    bench.thread.stop(PATIENCE)
    assert order == [0, 3, 1, 2]


def test_another_size_or_type_is_another_batch(bench: Bench) -> None:
    shapes = [((1, 3, 2, 2), torch.uint8), ((1, 3, 4, 4), torch.uint8)]
    shapes += [((1, 3, 2, 2), torch.float32), ((2, 3, 2, 2), torch.uint8)]
    futures = [bench.thread.submit(torch.zeros(s, dtype=t), None) for s, t in shapes]
    bench.go()
    wait(futures, PATIENCE)
    assert bench.batches == [(3, 2), (1, 1), (1, 1)]


def test_a_batch_has_a_bound(bench: Bench) -> None:
    futures = [bench.submit(value, count) for value, count in enumerate([3, 4, 2, 1, 20])]
    bench.go()
    assert [rows(future)[0] for future in futures] == [
        [0, 8], [1, 8], [2, 2], [3, 8], [4, 20],
    ]  # fmt: skip
    assert bench.batches == [(8, 3), (2, 1), (20, 1)]


def test_batching_can_be_off() -> None:
    bench = Bench(batching=False)
    futures = [bench.submit(value) for value in range(3)]
    bench.go()
    assert [rows(future) for future in futures] == [[[0, 1]], [[1, 1]], [[2, 1]]]
    assert bench.batches == [(1, 1)] * 3
    bench.thread.stop(PATIENCE)


def test_a_full_queue_refuses() -> None:
    bench = Bench(queue_size=2)
    kept = [bench.submit(value) for value in range(2)]
    assert bench.thread.waiting == 2
    with pytest.raises(OverloadedError, match="RWS_QUEUE_SIZE"):
        bench.submit(2)
    bench.go()
    wait(kept, PATIENCE)
    assert rows(bench.submit(3)) == [[3, 1]]
    assert bench.thread.waiting == 0
    bench.thread.stop(PATIENCE)


def test_calls_go_ahead_of_predictions(bench: Bench) -> None:
    order: list[str] = []
    for wanted in (None, FOG):
        bench.submit(1, wanted=wanted).add_done_callback(lambda _: order.append("prediction"))
    calls = [bench.thread.call(lambda: order.append("call")) for _ in range(2)]
    bench.go()
    wait(calls, PATIENCE)
    bench.thread.stop(PATIENCE)
    assert order == ["call", "call", "prediction", "prediction"]


def test_an_error_reaches_every_job_of_the_batch_and_no_other(bench: Bench) -> None:
    def fail(wanted: Wanted) -> None:
        if wanted == FOG:
            raise ValueError("no such fog")

    bench.fail = fail
    failing = [bench.submit(1, wanted=FOG), bench.submit(2, wanted=FOG)]
    sound = bench.submit(3)
    bench.go()
    for future in failing:
        with pytest.raises(ValueError, match="no such fog"):
            future.result(PATIENCE)
    assert rows(sound) == [[3, 1]]
    assert bench.thread.alive


def test_numbers_that_are_not_finite_fail_alone(bench: Bench) -> None:
    bad = bench.thread.submit(torch.full((1, 3, 2, 2), torch.inf), None)
    good = bench.thread.submit(torch.full((1, 3, 2, 2), 0.5), None)
    bench.go()
    with pytest.raises(TensorError, match="not finite"):
        bad.result(PATIENCE)
    assert rows(good) == [[0.5, 2]]


def test_a_call_that_fails_tells_its_caller(bench: Bench) -> None:
    def fail() -> None:
        raise KeyError("fog")

    future = bench.thread.call(fail)
    bench.go()
    with pytest.raises(KeyError):
        future.result(PATIENCE)
    assert bench.thread.call(lambda: 5).result(PATIENCE) == 5


def test_stopping_finishes_what_was_accepted(bench: Bench) -> None:
    futures = [bench.submit(1), bench.submit(2, wanted=FOG)]
    called = bench.thread.call(lambda: "done")
    bench.thread.stop(0)
    assert not bench.thread.alive
    with pytest.raises(StoppingError):
        bench.submit(3)
    with pytest.raises(StoppingError):
        bench.thread.call(lambda: None)
    bench.go()
    bench.thread.stop(PATIENCE)
    assert [rows(future) for future in futures] == [[[1, 1]], [[2, 1]]]
    assert called.result(PATIENCE) == "done"


def test_what_never_began_can_be_stopped() -> None:
    thread = InferenceThread(
        lambda _wanted: pytest.fail("nothing is computed"),
        queue_size=1,
        max_batch=1,
        batching=True,
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
    assert bench.batches == [(1, 1)]
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
