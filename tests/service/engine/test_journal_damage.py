"""Records that were edited or removed, files that are damaged or not the journal's."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from rwsstore.canonical import sha256_hex
from rwsstore.errors import IntegrityError, StoreError
from rwsstore_service.engine.journal import Journal
from tests.service.engine.journal_notes import change, digest, file_of, opened, store_change, tamper


def fill(folder: Path, count: int) -> None:
    """Make a journal of `count` records, every other one a generation."""
    with Journal(folder) as journal:
        for number in range(count):
            name = f"p{number}"
            journal.append(change(name) if number % 2 == 0 else store_change(name))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    fill(folder, 100)
    return folder


@pytest.fixture
def hundred(tmp_path: Path, original: Path) -> Path:
    """A folder with a journal of 100 records."""
    return shutil.copytree(original, tmp_path / "hundred")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET chain = '' WHERE seq = 2",
        "UPDATE records SET subject = 'other'",
        "DELETE FROM records WHERE seq = 4",
        "DELETE FROM records",
        "INSERT OR REPLACE INTO records SELECT * FROM records WHERE seq = 2",
        "REPLACE INTO records SELECT 101, subject, generation, body, '' FROM records WHERE seq = 1",
        "INSERT INTO records VALUES (102, 's', NULL, '{}', '')",
        "INSERT INTO records VALUES (0, 's', NULL, '{}', '')",
        "INSERT INTO records VALUES (101, 'bundled', 52, '{}', '')",
        "INSERT INTO records VALUES (101, 'new', 2, '{}', '')",
    ],
)
def test_the_database_itself_only_appends(hundred: Path, statement: str) -> None:
    refused = pytest.raises(sqlite3.IntegrityError, match="records are")
    with opened(hundred) as connection, refused:
        connection.execute(statement)
    with Journal(hundred) as journal:
        assert len(journal.records(limit=1000)) == 100
        assert journal.verify() == ()


EARLY = {
    "UPDATE records SET body = replace(body, '0.5', '0.6') WHERE seq = 3": [r"record 3, or .*"],
    "UPDATE records SET body = replace(body, 'ops', 'me') WHERE seq = 2": [r"record 2, or .*"],
    "UPDATE records SET body = CAST(x'ff00' AS TEXT) WHERE seq = 2": [r"record 2, or .*"],
    "UPDATE records SET chain = substr(chain, 2) || substr(chain, 1, 1) WHERE seq = 3": [
        r"record 3, or .*", r"record 4, or .*"
    ],
    "UPDATE records SET subject = 'other' WHERE seq = 3": [r"record 3 is filed under .*"],
    "UPDATE records SET generation = 999 WHERE seq = 3": [r"record 3 is filed under .*"],
    "DELETE FROM records WHERE seq = 1": [r"record 1 is missing"],
    "DELETE FROM records WHERE seq BETWEEN 5 AND 7": [r"records 5 to 7 are missing"],
    "DELETE FROM mentions WHERE seq = 5": [rf"record 5 is not found by its patch {digest('p4')}"],
    "UPDATE mentions SET seq = 3 WHERE seq = 5": [r"record 5 is not found by its patch .*"],
    "INSERT INTO records VALUES (-1, 's', NULL, '{}', '')": [r"the record before record -1 .*"],
}  # fmt: skip


@pytest.mark.parametrize("statement", EARLY)
def test_an_edited_or_removed_record_is_found(hundred: Path, statement: str) -> None:
    tamper(hundred, statement)
    with Journal(hundred) as journal:
        faults = journal.verify()
    assert len(faults) == len(EARLY[statement])
    for line, pattern in zip(faults, EARLY[statement], strict=True):
        assert re.fullmatch(pattern, line)


def test_a_chain_made_anew_for_one_record_breaks_at_the_next(hundred: Path) -> None:
    tamper(hundred, forged(hundred, 3))
    with Journal(hundred) as journal:
        (line,) = journal.verify()
        assert line.startswith("record 4, or the chain of the one before")


def forged(folder: Path, seq: int) -> str:
    """The statement that edits a record and gives it the chain that fits."""
    with opened(folder) as connection:
        read = "SELECT {} FROM records WHERE seq = ?"
        (previous,) = connection.execute(read.format("chain"), (seq - 1,)).fetchone()
        (body,) = connection.execute(read.format("body"), (seq,)).fetchone()
    body = body.replace("ops", "eve")
    chain = sha256_hex((previous + body).encode())
    return f"UPDATE records SET body = '{body}', chain = '{chain}' WHERE seq = {seq}"


READS: dict[str, Callable[[Journal], object]] = {
    "generation": lambda journal: journal.generation("bundled", 2),
    "history": lambda journal: journal.history("bundled", limit=1000),
    "records": lambda journal: journal.records(limit=1000),
}


@pytest.mark.parametrize("name", READS)
def test_an_edited_record_is_never_returned(hundred: Path, name: str) -> None:
    tamper(hundred, "UPDATE records SET body = replace(body, '0.5', '9.5') WHERE seq = 3")
    with Journal(hundred) as journal:
        with pytest.raises(IntegrityError, match=r"record 3.*put a backup in its place"):
            READS[name](journal)
        assert journal.latest("bundled") is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = replace(body, 'ops', 'me') WHERE seq = 99",
        "UPDATE records SET chain = '' WHERE seq = 100",
        "UPDATE records SET subject = 'x' WHERE seq = 100",
        "UPDATE records SET body = '{}' WHERE seq = 60",
        "DELETE FROM records WHERE seq = 100",
        "DELETE FROM records WHERE seq > 50",
        "DELETE FROM records",
        "DELETE FROM records WHERE seq = 99",
    ],
)
def test_damage_among_the_latest_records_is_refused_at_start(hundred: Path, statement: str) -> None:
    tamper(hundred, statement)
    errors = []  # with all that their tracebacks hold
    for _ in range(2):  # nothing was mended, and the folder is not held
        with pytest.raises(IntegrityError, match=r"(missing|not what|filed under)") as caught:
            Journal(hundred)
        errors.append(caught.value)


def test_what_happens_to_the_file_while_it_is_open_is_found(hundred: Path) -> None:
    with Journal(hundred) as journal:
        tamper(hundred, "UPDATE records SET body = '{}' WHERE seq = 100")
        with pytest.raises(IntegrityError, match="record 100"):
            journal.append(change())
        tamper(hundred, "DELETE FROM records WHERE seq > 90")
        assert journal.verify() == ("records 91 to 100 are missing",)


def test_the_list_of_faults_has_an_end(tmp_path: Path) -> None:
    fill(tmp_path, 1100)
    tamper(tmp_path, "UPDATE records SET body = '{}' WHERE seq < 1010")
    with Journal(tmp_path) as journal:
        assert len(journal.verify()) == 1000


def test_an_overwritten_page_is_found_at_start(hundred: Path) -> None:
    overwrite(hundred, record=20)
    with pytest.raises(IntegrityError, match=r"is damaged.*backup"):
        Journal(hundred)


def overwrite(folder: Path, record: int) -> None:
    """Spoil the page that an early record lies on."""
    data = file_of(folder).read_bytes()
    start = data.index(f'"seq":{record},'.encode()) // 4096 * 4096
    file_of(folder).write_bytes(data[:start] + b"\x5a" * 4096 + data[start + 4096 :])


def test_a_page_overwritten_while_it_is_open_is_a_fault(hundred: Path) -> None:
    with Journal(hundred) as journal:
        overwrite(hundred, record=20)
        with opened(hundred) as connection:  # so that no cached page is used
            connection.execute("CREATE TABLE other (x)")
        assert "is damaged" in journal.verify()[-1]


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file_of(tmp_path).write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        Journal(tmp_path)
    assert file_of(tmp_path).read_bytes() == content


def test_another_database_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        connection.execute("CREATE TABLE records (seq INTEGER)")
    before = file_of(tmp_path).read_bytes()
    with pytest.raises(IntegrityError, match="not a journal of this service"):
        Journal(tmp_path)
    assert file_of(tmp_path).read_bytes() == before


def test_a_newer_schema_is_refused(hundred: Path) -> None:
    with opened(hundred) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match=r"has schema 2, .* knows 1: install") as caught:
        Journal(hundred)
    assert not isinstance(caught.value, IntegrityError)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    for folder in (tmp_path / "state", tmp_path / "state" / "below"):
        with pytest.raises(StoreError, match=r"cannot hold the journal.*RWS_STATE"):
            Journal(folder)


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    file_of(tmp_path).mkdir()
    with pytest.raises(StoreError, match="cannot hold the journal"):
        Journal(tmp_path)
    file_of(tmp_path).rmdir()
    with Journal(tmp_path) as journal:
        assert journal.append(change()).seq == 1
