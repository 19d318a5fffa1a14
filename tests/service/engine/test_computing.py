"""What goes wrong with one job of a batch is its own."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from rwsstore.errors import MismatchError, TensorError
from rwsstore.runtime import Variant
from rwsstore_service.engine.queue import Job
from rwsstore_service.engine.records import Wanted
from tests.service.engine.benching import FOG, PATIENCE, RAIN, Bench, filled, means, rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.end()


@pytest.mark.parametrize("error", [MismatchError, ValueError])
def test_a_variant_that_cannot_be_built_fails_those_who_want_it(
    bench: Bench, error: type[Exception]
) -> None:
    def fail(wanted: Wanted) -> None:
        if wanted == FOG:
            raise error("no such fog")

    bench.fail = fail
    failing = [bench.submit(1, wanted=FOG), bench.submit(2, wanted=FOG)]
    sound = [bench.submit(3), bench.submit(4, wanted=RAIN)]
    bench.go()
    for future in failing:
        with pytest.raises(error, match="no such fog"):
            future.result(PATIENCE)
    assert [rows(future) for future in sound] == [[[3, 2]], [[4, 2]]]
    assert bench.prepared == [FOG, None, RAIN]
    assert bench.thread.alive
    bench.end()
    assert bench.batches == [(2, 2, 2)]


def test_nothing_is_computed_where_nothing_can_be_built(bench: Bench) -> None:
    def fail(_wanted: Wanted) -> None:
        raise MismatchError("not here")

    bench.fail = fail
    futures = [bench.submit(1), bench.submit(2, wanted=FOG)]
    bench.end()
    assert [type(future.exception(0)) for future in futures] == [MismatchError] * 2
    assert bench.variants == []
    assert bench.batches == []


def test_numbers_that_are_not_finite_fail_alone(bench: Bench) -> None:
    values = [0.5, torch.inf, 0.25, torch.nan]
    futures = [
        bench.thread.submit(Job(filled(value, 2, torch.float32), FOG if value < 0.3 else None))
        for value in values
    ]
    bench.go()
    assert rows(futures[0]) == [[0.5, 8]] * 2
    assert rows(futures[2]) == [[0.25, 8]] * 2
    for future in (futures[1], futures[3]):
        with pytest.raises(TensorError, match="not finite"):
            future.result(PATIENCE)


def test_one_number_of_many_is_enough(bench: Bench) -> None:
    images = filled(0.5, 3, torch.float32)
    images[1, 0, 0, 0] = torch.nan
    bad, good = bench.thread.submit(Job(images, None)), bench.thread.submit(Job(images[:1], None))
    bench.go()
    assert isinstance(bad.exception(PATIENCE), TensorError)
    assert rows(good) == [[0.5, 4]]


def test_whose_weights_break_the_computation_fails_alone(bench: Bench) -> None:
    def predict(images: Tensor, variants: Sequence[Variant]) -> Tensor:
        if "fog" in {one.digest for one in variants}:
            raise RuntimeError("out of luck")
        return means(images, variants)

    bench.predict = predict
    tried, sound, failing = bench.trial(9), bench.submit(1), bench.submit(2, wanted=FOG)
    bench.go()
    assert (rows(tried), rows(sound)) == ([[9, 1]], [[1, 1]])
    with pytest.raises(RuntimeError, match="out of luck"):
        failing.result(PATIENCE)
    assert bench.thread.alive


def test_one_job_that_breaks_is_not_tried_twice(bench: Bench) -> None:
    def predict(images: Tensor, variants: Sequence[Variant]) -> Tensor:
        raise RuntimeError("out of luck")

    bench.predict = predict
    failing = bench.submit(1)
    bench.end()
    assert isinstance(failing.exception(0), RuntimeError)
    assert len(bench.variants) == 1


def test_one_jobs_images_are_not_copied(bench: Bench) -> None:
    seen: list[int] = []

    def predict(images: Tensor, variants: Sequence[Variant]) -> Tensor:
        seen.append(images.data_ptr())
        return means(images, variants)

    bench.predict = predict
    images = filled(1, 2)
    bench.thread.submit(Job(images, None))
    bench.end()
    assert seen == [images.data_ptr()]
