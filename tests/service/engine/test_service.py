import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rwsstore_service import Settings
from rwsstore_service.engine.errors import StoppingError
from rwsstore_service.engine.service import Service
from rwsstore_service.wire.observability import Metrics


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = Settings.of(store=tmp_path / "store", state=tmp_path / "state", threads=1)
    made = Service(settings, Metrics())
    yield made
    made.stop()


def test_nothing_is_there_before_it_is_started(service: Service, tmp_path: Path) -> None:
    assert not service.ready
    assert service.why_not_ready == "the service is starting"
    assert not service.hosts
    assert list(tmp_path.iterdir()) == []


def test_it_starts_and_stops(service: Service) -> None:
    service.start()
    assert list(service.hosts) == ["bundled"]
    assert (service.ready, service.host.active.generation) == (True, 1)
    service.stop()
    assert (service.ready, service.stopping) == (False, True)
    assert service.why_not_ready == "the service is stopping"


def test_changes_take_turns_and_are_finished(service: Service) -> None:
    order: list[int] = []
    first_goes_on = threading.Event()

    def turn(number: int) -> int:
        if number == 1:
            first_goes_on.wait(30)
        order.append(number)
        return number

    async def ask() -> list[int]:
        turns = [
            asyncio.ensure_future(service.in_turn(lambda: turn(1))),
            asyncio.ensure_future(service.in_turn(lambda: turn(2))),
        ]
        await asyncio.sleep(0)  # both are in the queue
        assert order == []
        first_goes_on.set()
        return list(await asyncio.gather(*turns))

    assert asyncio.run(ask()) == [1, 2]
    assert order == [1, 2]


def test_changes_have_all_threads_whatever_lanes_set(service: Service) -> None:
    def in_a_thread(count: int) -> None:
        other = threading.Thread(target=torch.set_num_threads, args=(count,))
        other.start()
        other.join()

    in_a_thread(3)
    try:
        assert asyncio.run(service.in_turn(torch.get_num_threads)) == 1
    finally:
        in_a_thread(1)


def test_after_the_end_no_change_is_begun(service: Service) -> None:
    service.stop()
    with pytest.raises(StoppingError):
        asyncio.run(service.in_turn(lambda: pytest.fail("it was begun")))
