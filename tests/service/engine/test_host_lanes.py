"""How a host's lanes and its event loop go together."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.records import PredictedImages
from tests.service.engine.hosting import IMAGES, House


async def asked(house: House, count: int) -> "list[asyncio.Task[PredictedImages]]":
    """Predictions that wait, all of them."""
    tasks = [asyncio.ensure_future(house.host.predict(IMAGES, None)) for _ in range(count)]
    while house.host.waiting < count:
        await asyncio.sleep(0)
    return tasks


def test_the_results_of_a_batch_are_delivered_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, deliveries = threading.Event(), list[object]()
    house.host._inference.call(lambda: gate.wait(30))

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        deliver = loop.call_soon_threadsafe

        def noting(function: Callable[..., object], *given: Any) -> object:
            deliveries.append(function)
            return deliver(function, *given)

        monkeypatch.setattr(loop, "call_soon_threadsafe", noting)
        tasks = await asked(house, 4)
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert len(deliveries) == 1


def test_who_is_cancelled_is_not_computed(house: House) -> None:
    gate, batches = threading.Event(), list[Batch]()
    house.host._inference._on_batch = batches.append
    house.host._inference.call(lambda: gate.wait(30))

    async def ask() -> None:
        tasks = await asked(house, 3)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        gate.set()
        await asyncio.gather(*tasks[1:])

    asyncio.run(ask())
    assert [one.jobs for one in batches] == [2]


def test_two_lanes_serve_what_one_serves(house: House) -> None:
    async def ask(patchsets: Sequence[str]) -> list[PredictedImages]:
        wanted = [await house.host.choose(text) for text in patchsets]
        return list(await asyncio.gather(*(house.host.predict(IMAGES, one) for one in wanted)))

    house.want(snow=0.5)
    strengths: list[dict[str, float]] = [{"fog": 0.5}, {"snow": 0.5}, {"rain": 0.5}, {}]
    alone = [house.expected(IMAGES, **one) for one in strengths]
    house.again(threads=2, lanes=2)
    found = asyncio.run(ask(["fog=0.5", "active", "rain=0.5", "none"] * 8))
    for one, logits in zip(found, alone * 8, strict=True):
        assert torch.allclose(one.logits, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "lanes"),
    [
        ({"threads": 1}, 1),
        ({"threads": 1, "lanes": 2}, 1),
        ({"threads": 2}, 2),
        ({"threads": 8}, 2),
        ({"threads": 8, "lanes": 1}, 1),
        ({"threads": 4, "lanes": 3}, 3),
        ({"threads": 8, "lanes": 4, "batching": False}, 1),
    ],
)
def test_how_many_lanes_there_are(house: House, settings: dict[str, Any], lanes: int) -> None:
    before = set(threading.enumerate())
    house.again(**settings)
    begun = set(threading.enumerate()) - before
    assert sum(one.name.startswith("rwsstore-lane-") for one in begun) == lanes
