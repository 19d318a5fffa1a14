"""What the journal's tests write into it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rwsstore.canonical import Digest, sha256_hex
from rwsstore.runtime import Chosen
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, Actor, Note

START = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def digest(name: str) -> Digest:
    return sha256_hex(name.encode())


def change(
    *patches: str, subject: str = "bundled", alpha: float = 0.5, parts: tuple[str, ...] = ()
) -> Note:
    """The note of a patch set that became active."""
    chosen = tuple(Chosen(name, digest(name), alpha) for name in patches)
    return Note(
        actor=Actor("ops", "127.0.0.1", "5f0c6ad09c1d4d7b"),
        action="replace",
        subject=subject,
        patches=chosen,
        resolved=tuple((name, digest(name), alpha) for name in parts or patches),
        clean_weights=digest("clean"),
        state_digest=digest(f"after {patches}"),
        previous_digest=digest("before"),
    )


def store_change(patch: str, action: Action = "publish") -> Note:
    """The note of a patch that was stored, or removed from the store."""
    return Note(
        actor=Actor("ops", "10.0.0.7", "r"),
        action=action,
        subject=f"{patch}@1",
        patches=(Chosen(patch, digest(patch), 1.0),),
        resolved=(),
        clean_weights=digest("clean"),
        state_digest="",
        previous_digest="",
    )


def answer(body: str = '{"generation":1}', status: int = 200) -> Recorded:
    return Recorded(digest("request"), status, body, {"ETag": '"1"'})


def file_of(folder: Path) -> Path:
    return folder / "journal.sqlite"


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with an SQLite tool has it; each statement is kept."""
    connection = sqlite3.connect(file_of(folder), isolation_level=None, timeout=0)
    try:
        yield connection
    finally:
        connection.close()


def tamper(folder: Path, statement: str) -> None:
    """Change the file as somebody does who takes the triggers away first."""
    with opened(folder) as connection:
        for trigger in ("records_in_order", "records_stay_the_same", "records_stay"):
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        assert connection.execute(statement).rowcount > 0
