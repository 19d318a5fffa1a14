"""Predictions while others patch: no output is torn, no block is seen from outside."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from rwsstore.runtime import LiveModel, PatchBag
from tests.runtime.making import MODELS, a_patch, equal_bits, pixels

MODEL = MODELS["vgg16"]()
NAMES = ("fog", "snow", "frost")
PATCHES = {name: a_patch(MODEL, name, seed=n, layers=5) for n, name in enumerate(NAMES)}
IMAGES = pixels(2)
REQUESTS: list[dict[str, float | None]] = [
    dict.fromkeys(names, 0.5) for n in range(4) for names in itertools.combinations(NAMES, n)
]


def live_model(resident: int = 16) -> LiveModel:
    bag = PatchBag(PATCHES.values())
    one = LiveModel(MODEL, bag)
    one.apply("fog")
    return LiveModel(MODEL, bag, resident_bytes=resident * one.resident_bytes)


def expected() -> set[bytes]:
    """The outputs of every patch set that a test puts on."""
    live = live_model()
    return {output(live.variant(request)(IMAGES)) for request in REQUESTS}


def output(logits: Tensor) -> bytes:
    return logits.numpy().tobytes()


def run_together(*jobs: Callable[[], object]) -> list[object]:
    """Run each job in a thread of its own, all from the same moment; errors are raised."""
    barrier = threading.Barrier(len(jobs))

    def start(job: Callable[[], object]) -> object:
        barrier.wait(timeout=60)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(start, job) for job in jobs]]


def test_every_output_is_that_of_one_patch_set_while_others_patch() -> None:
    live, wanted = live_model(resident=2), expected()
    assert len(wanted) == 8
    clean = output(live(IMAGES))

    def predict() -> set[bytes]:
        return {output(live(IMAGES)) for _ in range(25)}

    def set_whole() -> None:
        for request in REQUESTS * 5:
            live.set_patches(request)

    def set_stepwise() -> None:
        for name in NAMES * 12:
            live.apply(name, 0.5)
            live.clear()

    found = run_together(*[predict] * 8, set_whole, set_stepwise)
    for outputs in found[:8]:
        assert isinstance(outputs, set)
        assert outputs <= wanted
    assert live.verify().ok
    live.clear()
    assert output(live(IMAGES)) == clean


def test_threads_in_blocks_of_their_own_see_only_these() -> None:
    live = live_model(resident=1)
    wanted = {name: output(live.variant({name: 1.0})(IMAGES)) for name in NAMES}

    def predict(name: str) -> Callable[[], bool]:
        def run() -> bool:
            found = set()
            for _ in range(10):
                with live.patched({name: None}):
                    found.add(output(live(IMAGES)))
            return found == {wanted[name]}

        return run

    assert run_together(*[predict(name) for name in NAMES * 2]) == [True] * 6


def test_a_failed_change_in_one_thread_is_not_seen_in_another() -> None:
    live = live_model()
    live.apply("fog", 0.5)
    wanted = output(live(IMAGES))

    def fail() -> int:
        failures = 0
        for _ in range(50):
            try:
                live.set_patches({"snow": 0.5, "frost": 9.0})
            except ValueError:
                failures += 1
        return failures

    def predict() -> set[bytes]:
        return {output(live(IMAGES)) for _ in range(20)}

    failures, *outputs = run_together(fail, predict, predict)
    assert failures == 50
    assert outputs == [{wanted}, {wanted}]


def test_a_block_is_not_seen_by_other_threads() -> None:
    live = live_model()
    live.apply("snow")
    snow = live(IMAGES)
    with live.patched({"fog": 0.5}) as variant, ThreadPoolExecutor(1) as pool:
        assert live.current is variant
        assert live.active is not variant
        assert equal_bits(pool.submit(live, IMAGES).result(), snow)
        assert not torch.equal(live(IMAGES), snow)
    assert equal_bits(live(IMAGES), snow)


def test_a_change_for_everybody_does_not_reach_into_a_block() -> None:
    live = live_model()
    with live.patched({"fog": 0.5}):
        before = live(IMAGES)
        live.apply("snow")
        assert equal_bits(live(IMAGES), before)
    assert equal_bits(live(IMAGES), live.variant({"snow": None})(IMAGES))


def test_blocks_nest_and_end_with_an_exception() -> None:
    live = live_model()
    clean = live.current
    with live.patched({"fog": 1.0}) as outer:
        try:
            with live.patched({"snow": 1.0}) as inner:
                assert live.current is inner
                raise KeyError
        except KeyError:
            pass
        assert live.current is outer
        with live.patched({}):
            assert live.current is clean
        assert live.current is outer
    assert live.current is clean


def test_blocks_of_two_models_do_not_mix() -> None:
    one, other = live_model(), live_model()
    with one.patched({"fog": 1.0}) as variant:
        assert one.current is variant
        assert not other.current.patches


def test_tasks_in_blocks_of_their_own_see_only_these() -> None:
    live = live_model()

    async def predict(name: str) -> bool:
        with live.patched({name: None}) as variant:
            for _ in range(5):
                await asyncio.sleep(0)  # lets the other tasks run
                if live.current is not variant or set(variant.names.values()) != {name}:
                    return False
        return live.current is live.active

    async def run_all() -> list[bool]:
        return await asyncio.gather(*[predict(name) for name in NAMES * 2])

    assert asyncio.run(run_all()) == [True] * 6
