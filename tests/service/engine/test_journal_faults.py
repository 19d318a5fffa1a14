"""A full disk, a killed process, other programs, and threads."""

import resource
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rwsstore.errors import StorageFullError, StoreError
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.records import JournalEntry
from tests.service.engine.journal_notes import answer, change, opened

REPOSITORY = Path(__file__).parents[3]


@contextmanager
def no_page_left(journal: Journal) -> Iterator[None]:
    """SQLite is told that the file is as large as it may be."""
    connection = journal._database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (limit,) = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA max_page_count = {limit}")


@contextmanager
def no_byte_beyond(size: int) -> Iterator[None]:
    """The system refuses to write beyond a size, to whatever file."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def largest(folder: Path) -> int:
    return max(path.stat().st_size for path in folder.iterdir())


def fill(journal: Journal) -> int:
    """Append until it fails; the number of records then."""
    for number in range(1, 1000):
        try:
            journal.append(change("fog"), key=str(number), answer=lambda e: answer("x" * 3000))
        except StorageFullError as error:
            assert "nothing was recorded" in str(error)  # noqa: PT017 - the loop is to find it
            return number - 1
    raise AssertionError("it never failed")


def check_as_before(journal: Journal, count: int) -> None:
    assert len(journal.records(limit=1000)) == count
    assert journal.verify() == ()
    assert (journal.recall("ops", str(count)) is None) == (count == 0)
    assert journal.recall("ops", str(count + 1)) is None
    assert journal.generation("bundled", count + 1) is None


def test_without_a_page_left_nothing_is_recorded(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with no_page_left(journal):
            count = fill(journal)
            check_as_before(journal, count)
            with pytest.raises(StorageFullError):
                journal.remember("ops", "k", answer("x" * 10_000))
        entry = journal.append(change("fog"))
        assert (entry.seq, entry.generation) == (count + 1, count + 1)
        assert journal.verify() == ()


@pytest.mark.parametrize("extra", [0, 1, 512, 4096, 8192, 20_000])
def test_with_a_full_disk_nothing_is_recorded(tmp_path: Path, extra: int) -> None:
    with Journal(tmp_path) as journal:
        with no_byte_beyond(largest(tmp_path) + extra):
            count = fill(journal)
            check_as_before(journal, count)
        assert journal.append(change("fog")).seq == count + 1
    with Journal(tmp_path) as journal:
        assert journal.append(change("fog")).seq == count + 2
        assert journal.verify() == ()


@pytest.mark.parametrize("size", [0, 512, 4096, 8192])
def test_a_disk_that_is_full_at_the_first_start(tmp_path: Path, size: int) -> None:
    with no_byte_beyond(size), pytest.raises(StorageFullError, match="Make space"):
        Journal(tmp_path)
    with Journal(tmp_path) as journal:
        assert journal.append(change("fog")).seq == 1
        assert journal.verify() == ()


def test_acknowledged_means_on_the_disk(tmp_path: Path) -> None:
    """No test here can cut the power; these are the settings under which SQLite outlives that."""
    with Journal(tmp_path) as journal:
        connection = journal._database._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_a_program_that_reads_the_file_does_not_stop_it(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, opened(tmp_path) as reader:
        journal.append(change("fog"))
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (1,)
        assert journal.append(change("fog")).seq == 2
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (1,)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_program_that_writes_the_file_makes_it_fail_cleanly(
    tmp_path: Path, statement: str
) -> None:
    with Journal(tmp_path) as journal:
        journal._database._connection.execute("PRAGMA busy_timeout = 0")
        with opened(tmp_path) as other:
            other.execute(statement)
            with pytest.raises(StoreError, match=r"held by another program.*nothing was recorded"):
                journal.append(change("fog"))
        assert journal.append(change("fog")).seq == 1
        assert journal.verify() == ()


def test_threads_append_without_gaps(tmp_path: Path) -> None:
    threads, each = 8, 25
    together = threading.Barrier(threads)

    def work(number: int) -> list[JournalEntry]:
        together.wait()
        notes = [change("fog", subject=f"model{number % 2}") for _ in range(each)]
        entries = [journal.append(note) for note in notes]
        assert journal.verify() == ()
        return entries

    with Journal(tmp_path) as journal, ThreadPoolExecutor(threads) as pool:
        written = [entry for entries in pool.map(work, range(threads)) for entry in entries]
        ordered = sorted(written, key=lambda entry: entry.seq)
        assert [entry.seq for entry in ordered] == list(range(1, threads * each + 1))
        assert journal.records(limit=1000) == tuple(reversed(ordered))
        for model in ("model0", "model1"):
            numbers = [entry.generation for entry in ordered if entry.subject == model]
            assert numbers == list(range(1, threads * each // 2 + 1))
        assert journal.verify() == ()


def test_a_journal_may_be_closed_by_another_thread(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(journal.close).result()
    with Journal(tmp_path) as journal:
        assert journal.verify() == ()


def kill(folder: Path, count: int, seed: int) -> int:
    command = [sys.executable, "-m", "tests.service.engine.journal_writer"]
    run = subprocess.run(
        [*command, str(folder), str(count), str(seed)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    assert kill(tmp_path, 20, seed=1) > 20


@pytest.mark.slow
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path) -> None:
    assert kill(tmp_path, 100, seed=2) > 100


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    """The walk over all records holds a page of them, not all."""

    def peak() -> int:
        tracemalloc.reset_peak()
        assert journal.verify() == ()
        return tracemalloc.get_traced_memory()[1]

    with Journal(tmp_path, keep_answers=10) as journal:
        tracemalloc.start()
        try:
            peaks = []
            for _ in range(2):
                for number in range(300):
                    key = str(number)
                    journal.append(change("fog", "snow"), key=key, answer=lambda _: answer())
                peaks.append(peak())
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.1
