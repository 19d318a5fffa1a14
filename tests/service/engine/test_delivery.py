"""Results come into the event loop: all of a batch at once, and whatever becomes of who waits."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from rwsstore_service.engine.computing import Delivery

PATIENCE = 30.0


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


def begun() -> "Future[int]":
    """One that is computed, so that it cannot be cancelled."""
    source: Future[int] = Future()
    source.set_running_or_notify_cancel()
    return source


async def waiting(delivery: Delivery, *sources: "Future[int]") -> "list[asyncio.Task[int]]":
    """Tasks that wait for them already."""
    tasks = [asyncio.ensure_future(delivery.of(source)) for source in sources]
    await asyncio.sleep(0)
    return tasks


def test_many_results_are_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[int]:
        delivery, sources, loop = (
            Delivery(),
            [begun() for _ in range(8)],
            asyncio.get_running_loop(),
        )
        tasks, deliver = await waiting(delivery, *sources), loop.call_soon_threadsafe

        def noting(function: Callable[..., object], *given: Any) -> object:
            wakes.append(function)
            return deliver(function, *given)

        def compute() -> None:
            for number, source in enumerate(sources):
                source.set_result(number)
            assert wakes == []
            delivery.flush()

        monkeypatch.setattr(loop, "call_soon_threadsafe", noting)
        in_a_thread(compute)
        in_a_thread(delivery.flush)  # there is nothing more
        return list(await asyncio.gather(*tasks))

    wakes: list[object] = []
    assert asyncio.run(ask()) == list(range(8))
    assert len(wakes) == 1


def test_an_error_comes_to_who_waits_for_it() -> None:
    async def ask() -> None:
        delivery, bad, good = Delivery(), begun(), begun()
        failing, sound = await waiting(delivery, bad, good)
        bad.set_exception(KeyError("fog"))
        good.set_result(3)
        in_a_thread(delivery.flush)
        assert await sound == 3
        with pytest.raises(KeyError, match="fog"):
            await failing

    asyncio.run(ask())


def test_what_is_there_already_needs_no_delivery() -> None:
    async def ask() -> None:
        delivery, done, failed = Delivery(), begun(), begun()
        done.set_result(5)
        failed.set_exception(KeyError("fog"))
        assert await delivery.of(done) == 5
        with pytest.raises(KeyError):
            await delivery.of(failed)
        delivery.flush()  # brings both a second time
        await asyncio.sleep(0)

    asyncio.run(ask())


def test_who_goes_away_takes_the_job_along() -> None:
    async def ask() -> None:
        delivery, source, other = Delivery(), Future[int](), begun()
        gone, kept = await waiting(delivery, source, other)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert source.cancelled()
        other.set_result(2)
        in_a_thread(delivery.flush)
        assert await kept == 2

    asyncio.run(ask())


def test_who_goes_away_from_what_is_computed_is_passed_over() -> None:
    async def ask() -> None:
        delivery, source = Delivery(), begun()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: wrong.append(told))
        (gone,) = await waiting(delivery, source)
        gone.cancel()
        await asyncio.wait([gone])
        source.set_result(1)
        in_a_thread(delivery.flush)
        await asyncio.sleep(0)
        assert gone.cancelled()

    wrong: list[object] = []
    asyncio.run(ask())
    assert wrong == []


def test_a_job_that_somebody_else_cancels_cancels_who_waits() -> None:
    async def ask() -> None:
        delivery, source = Delivery(), Future[int]()
        (task,) = await waiting(delivery, source)
        source.cancel()
        delivery.flush()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(ask())


def test_a_loop_that_was_closed_takes_nothing_and_hinders_no_other() -> None:
    delivery, late, source = Delivery(), begun(), begun()

    async def leave() -> None:
        (task,) = await waiting(delivery, late)
        task.cancel()
        await asyncio.wait([task])

    async def ask() -> int:
        (task,) = await waiting(delivery, source)
        late.set_result(1)
        source.set_result(2)
        delivery.flush()
        return await task

    asyncio.run(leave())
    assert asyncio.run(ask()) == 2
