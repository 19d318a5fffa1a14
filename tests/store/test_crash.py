"""A writer killed before each of its operations, and power cut at each of them.

What may be found then: the old state or the new one, no third; everything that is named is whole;
a retry works; fsck is clean once leftovers are swept.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from rwsstore.store import Store
from tests.store.faults import Disk, Killed, Process, Snapshot, operations
from tests.store.helpers import (
    ROOT,
    alike,
    composed,
    look_at,
    observe,
    observe_disk,
    open_store,
    patch,
    prepare,
    remove_if_there,
)

Work = Callable[[Store], object]


def garbage() -> Snapshot:
    """A composed patch and its parts without a name, and another one with its own."""
    disk = Disk(prepare(patch(0), patch(1), composed(), patch(2, "frost")))
    for name in ("fog", "both"):
        open_store(Process(disk)).remove(name)
    return disk.now()


SCENARIOS: dict[str, tuple[Callable[[], Snapshot], Work]] = {
    "first publish": (dict, lambda store: store.publish(patch(0))),
    "second version": (lambda: prepare(patch(0)), lambda store: store.publish(patch(1))),
    "another name": (lambda: prepare(patch(0)), lambda store: store.publish(patch(0), name="haze")),
    "same again": (lambda: prepare(patch(0)), lambda store: store.publish(patch(0))),
    "composed": (lambda: prepare(patch(0), patch(1)), lambda store: store.publish(composed())),
    "remove": (lambda: prepare(patch(0), patch(1)), lambda store: remove_if_there(store, "fog")),
    "gc": (garbage, lambda store: store.gc()),
}


@pytest.fixture(params=SCENARIOS, scope="module")
def scenario(request: pytest.FixtureRequest) -> tuple[Snapshot, Work]:
    make, work = SCENARIOS[request.param]
    return make(), work


def killed_disks(before: Snapshot, work: Work) -> Iterator[Disk]:
    """The disk after the process was killed before its first, second, … operation."""
    steps = len(operations(before, lambda process: work(open_store(process))))
    for kill_at in range(1, steps + 1):
        disk = Disk(before)
        with pytest.raises(Killed):
            work(open_store(Process(disk, kill_at=kill_at)))
        yield disk


def finish(disk: Disk, work: Work) -> None:
    work(open_store(Process(disk)))


def finished(before: Snapshot, work: Work) -> Snapshot:
    disk = Disk(before)
    finish(disk, work)
    return disk.now()


def check_found(found: Snapshot, before: Snapshot, after: Snapshot, work: Work) -> None:
    """One disk, found after a crash, is in order and can be worked with."""
    disk = Disk(found)
    store = open_store(Process(disk))
    assert observe(store) in (observe_disk(before), observe_disk(after))
    assert {finding.problem for finding in store.fsck().findings} <= {"temporary"}
    assert store.fsck(repair=True).clean
    assert store.fsck().findings == ()
    finish(disk, work)
    assert observe_disk(disk.now()) == observe_disk(after)
    assert open_store(Process(disk)).fsck().findings == ()


def test_killed_anywhere(scenario: tuple[Snapshot, Work]) -> None:
    before, work = scenario
    after = finished(before, work)
    for disk in killed_disks(before, work):
        check_found(disk.now(), before, after, work)


def test_power_cut_anywhere(scenario: tuple[Snapshot, Work]) -> None:
    before, work = scenario
    after = finished(before, work)
    checked: set[str] = set()
    for disk in killed_disks(before, work):
        for found in disk.after_power_cut():
            if alike(found) not in checked:
                check_found(found, before, after, work)
                checked.add(alike(found))


def test_what_returned_is_durable(scenario: tuple[Snapshot, Work]) -> None:
    before, work = scenario
    disk = Disk(before)
    finish(disk, work)
    assert disk.after_power_cut() == [disk.now()]


def test_a_retry_makes_durable_what_a_killed_process_left_unsynced(
    scenario: tuple[Snapshot, Work],
) -> None:
    before, work = scenario
    wanted = observe_disk(finished(before, work))
    for disk in killed_disks(before, work):
        finish(disk, work)
        for found in disk.after_power_cut():
            state, problems = look_at(found)
            assert state == wanted
            assert problems <= {"temporary"}


@pytest.mark.slow
def test_two_killed_processes_before_one_that_finishes() -> None:
    def work(store: Store) -> object:
        return store.publish(patch(0))

    wanted = observe_disk(finished({}, work))
    steps = len(operations({}, lambda process: work(open_store(process))))
    for once in killed_disks({}, work):
        for second in range(1, steps + 1):
            disk = copy.deepcopy(once)
            with suppress(Killed):
                work(open_store(Process(disk, kill_at=second)))
            finish(disk, work)
            for found in disk.after_power_cut():
                assert observe_disk(found) == wanted


def test_gc_removes_leftovers_too() -> None:
    before = prepare(patch(0))
    for disk in killed_disks(before, lambda store: store.publish(patch(1))):
        store = open_store(Process(disk))
        store.gc()
        assert store.fsck().findings == ()
        assert store.fsck().unreferenced == ()
        assert "fog" in observe(store)


def test_the_store_is_below_folders_that_were_not_there() -> None:
    assert len(ROOT.parts) == 3
    assert Disk(prepare(patch(0))).now().keys() == {"data"}
