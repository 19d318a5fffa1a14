"""Each writing operation fails in turn: no space left, a broken device, a write cut short."""

import errno
from collections.abc import Callable

import pytest

from rwsstore.errors import IntegrityError, StorageFullError
from rwsstore.store import Store
from tests.store.faults import Disk, Process, Snapshot, operations
from tests.store.helpers import (
    ROOT,
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

WRITES: dict[str, tuple[Callable[[], Snapshot], Work]] = {
    "first": (dict, lambda store: store.publish(patch(0))),
    "second": (lambda: prepare(patch(0)), lambda store: store.publish(patch(1))),
    "composed": (lambda: prepare(patch(0), patch(1)), lambda store: store.publish(composed())),
}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, number) for name in WRITES for number in (errno.ENOSPC, errno.EIO)),
        ("first", errno.EDQUOT),
    ],
)
def test_a_failed_publish_leaves_no_trace(name: str, number: int) -> None:
    make, work = WRITES[name]
    before = make()
    for fail_at in range(1, len(operations(before, lambda files: work(open_store(files)))) + 1):
        disk = Disk(before)
        process = Process(disk, fail_at=fail_at, number=number)
        if not fails(process, work):
            continue
        store = open_store(Process(disk))
        assert observe(store) == observe_disk(before)
        assert store.fsck().findings == ()
        assert store.fsck().unreferenced == ()
        work(store)
        assert store.fsck().findings == ()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", WRITES)
def test_a_device_that_stays_broken_leaves_the_old_state_or_the_new_one(
    name: str, number: int
) -> None:
    make, work = WRITES[name]
    before = make()
    after = Disk(before)
    work(open_store(Process(after)))
    allowed = [observe_disk(before), observe_disk(after.now())]
    for fail_at in range(1, len(operations(before, lambda files: work(open_store(files)))) + 1):
        disk = Disk(before)
        process = Process(disk, fail_at=fail_at, number=number, lasting=True)
        if not fails(process, work):
            continue
        reader = open_store(process)  # the very process goes on reading
        for entry in reader.list():
            assert reader.get(entry.name).digest == entry.digest
        for found in (disk.now(), *disk.after_power_cut()):
            state, problems = look_at(found)
            assert state in allowed
            assert problems <= {"temporary"}


def fails(process: Process, work: Work) -> bool:
    """Do the work; whether an operation failed, which then it must have said."""
    raised = False
    try:
        work(open_store(process))
    except StorageFullError:
        raised = True
    assert raised == bool(process.failures)
    return raised


@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_failed_remove_says_so(fail_at: int) -> None:
    disk = Disk(prepare(patch(0)))
    with pytest.raises(StorageFullError):
        open_store(Process(disk, fail_at=fail_at, number=errno.EIO)).remove("fog")
    remove_if_there(open_store(Process(disk)), "fog")
    assert observe_disk(disk.now()) == {}


def test_a_listing_needs_no_space() -> None:
    disk = Disk(prepare(patch(0)))
    process = Process(disk, fail_at=1, lasting=True)
    assert [entry.name for entry in open_store(process).list()] == ["fog"]
    assert process.failures
    assert open_store(Process(disk)).fsck().findings == ()


def test_a_damaged_object_is_not_served_when_it_cannot_be_moved() -> None:
    disk = Disk(prepare(patch(0)))
    digest = patch(0).digest
    path = ROOT / "objects" / digest[:2] / f"{digest}.safetensors"
    process = Process(disk, fail_at=1, lasting=True)
    process._file(path).content = b"other"
    with pytest.raises(IntegrityError, match="could not be moved to quarantine"):
        open_store(process).read(digest)
