import threading
from pathlib import Path

import pytest

from rwsstore.files import OS_FILES


def test_create_refuses_a_name_that_is_taken(tmp_path: Path) -> None:
    OS_FILES.create(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        OS_FILES.create(tmp_path / "a", b"2")
    assert OS_FILES.read(tmp_path / "a", 10) == b"1"


def test_names_are_sorted(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        OS_FILES.create(tmp_path / name, b"")
    assert OS_FILES.names(tmp_path) == ("a", "b", "c")


def test_a_lock_that_is_held_times_out(tmp_path: Path) -> None:
    with OS_FILES.lock(tmp_path / "lock", 0), pytest.raises(TimeoutError):  # noqa: SIM117
        with OS_FILES.lock(tmp_path / "lock", 0):
            pass
    with OS_FILES.lock(tmp_path / "lock", 0):
        pass


def test_a_lock_lets_one_thread_in_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with OS_FILES.lock(tmp_path / "lock", 60):
                inside.append(1)
                OS_FILES.names(tmp_path)  # a system call, so that others get their turn
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
