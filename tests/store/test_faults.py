"""The simulated disk loses what a real one may lose, and nothing else."""

from pathlib import Path

import pytest

from tests.store.faults import Disk, Killed, Process

TOP = Path("/")


def test_a_name_that_was_not_synced_may_be_lost() -> None:
    disk = Disk()
    process = Process(disk)
    process.create(TOP / "a", b"1234")
    assert disk.now() == {"a": b"1234"}
    assert disk.after_power_cut() == [{}, {"a": b"1234"}]
    process.fsync_folder(TOP)
    assert disk.after_power_cut() == [{"a": b"1234"}]


def test_content_that_was_not_synced_may_be_lost_or_cut() -> None:
    disk = Disk()
    with pytest.raises(Killed):
        Process(disk, kill_at=5).create(TOP / "a", b"1234")  # before its sync
    assert disk.after_power_cut() == [{}, {"a": b"1234"}, {"a": b""}, {"a": b"12"}]


def test_changes_to_a_folder_reach_the_disk_in_any_order() -> None:
    disk = Disk({"a": b"1", "b": b"2"})
    process = Process(disk)
    process.unlink(TOP / "a")
    process.unlink(TOP / "b")
    found = disk.after_power_cut()
    assert len(found) == 4
    assert {"a": b"1"} in found
    assert {"b": b"2"} in found


def test_a_rename_within_a_folder_is_one_step() -> None:
    disk = Disk({"a": b"new", "b": b"old"})
    Process(disk).rename(TOP / "a", TOP / "b")
    assert disk.after_power_cut() == [{"a": b"new", "b": b"old"}, {"b": b"new"}]


def test_a_folder_that_was_not_synced_takes_its_content_along() -> None:
    disk = Disk()
    process = Process(disk)
    process.make_folder(TOP / "f")
    process.create(TOP / "f" / "a", b"1")
    process.fsync_folder(TOP / "f")
    assert disk.after_power_cut() == [{}, {"f": {"a": b"1"}}]


def test_the_dead_do_nothing() -> None:
    disk = Disk({"a": b"1"})
    process = Process(disk, kill_at=1)
    for _ in range(2):
        with pytest.raises(Killed):
            process.unlink(TOP / "a")
    assert disk.now() == {"a": b"1"}
