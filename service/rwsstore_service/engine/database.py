"""The journal's SQLite file: its tables, held by one process, one statement at a time.

`records` holds each record as canonical JSON and its chain; `subject` and `generation` repeat what
the JSON says, so that they can be looked up. `mentions` says which record was the last to name a
digest in a generation. Neither number can be left out, used twice or changed, whoever writes: the
triggers see to that. `answers` are what idempotency keys got.

Write-ahead log with synchronous=EXTRA: when a commit returns, its log is on the disk, so that
neither a killed process nor a power cut takes back what was acknowledged. A write that fails never
touches the file itself: reading goes on, and the change is nowhere to be seen. While the service
runs, and after it was killed, `journal.sqlite-wal` belongs to the file; closing folds it in.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import filelock

from rwsstore.errors import IntegrityError, StorageFullError, StoreError
from rwsstore.files import OS_FILES

APPLICATION = 0x52575331
VERSION = 1

SCHEMA = (
    """
    CREATE TABLE records (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        subject TEXT NOT NULL,
        generation INTEGER,
        body TEXT NOT NULL,
        chain TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE UNIQUE INDEX generations ON records (subject, generation)
    WHERE generation IS NOT NULL
    """,
    """
    CREATE TRIGGER records_in_order BEFORE INSERT ON records
    WHEN NEW.seq IS NOT (SELECT ifnull(max(seq), 0) + 1 FROM records)
    OR NEW.generation <> (
        SELECT ifnull(max(generation), 0) + 1 FROM records
        WHERE subject = NEW.subject AND generation IS NOT NULL
    )
    BEGIN SELECT RAISE(ABORT, 'records are numbered without gaps'); END
    """,
    """
    CREATE TRIGGER records_stay_the_same BEFORE UPDATE ON records
    BEGIN SELECT RAISE(ABORT, 'records are not changed'); END
    """,
    """
    CREATE TRIGGER records_stay BEFORE DELETE ON records
    BEGIN SELECT RAISE(ABORT, 'records are not removed'); END
    """,
    """
    CREATE TABLE mentions (digest TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE answers (
        number INTEGER PRIMARY KEY,
        actor TEXT NOT NULL,
        key TEXT NOT NULL,
        at TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (actor, key)
    ) STRICT
    """,
    "CREATE INDEX answers_by_time ON answers (at)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


FILE_NAME = "journal.sqlite"
LOCK_NAME = "journal.lock"

_BUSY_SECONDS = 5.0
_PRAGMAS = (
    "PRAGMA synchronous = EXTRA",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
)
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class Database:
    """The open file, shared by threads.

    Args:
        folder: made with mode 0700 where it is missing.

    Raises:
        StoreError: another process has it, a newer version wrote it, or it cannot be opened.
        IntegrityError: the file is damaged, or something else.
        StorageFullError: it cannot be created for want of space.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._mutex = threading.Lock()
        with ExitStack() as stack, self._translated():
            try:
                # Durable, and for this user alone.
                missing = [path for path in (folder, *folder.parents) if not path.exists()]
                for path in reversed(missing):
                    path.mkdir(mode=0o700, exist_ok=True)
                    OS_FILES.fsync_folder(path.parent)
                # One count for all threads: whoever closes the journal need not have opened it.
                lock = filelock.FileLock(folder / LOCK_NAME, 0, mode=0o600, thread_local=False)
                stack.enter_context(lock)
                # SQLite would create it for all to read; its rollback journal gets the same mode.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except filelock.Timeout:
                raise StoreError(
                    f"{folder} is in use by another service: stop that one, or give this one a "
                    "folder of its own (RWS_STATE)."
                ) from None
            except OSError as error:
                raise StoreError(
                    f"{folder} cannot hold the journal ({error.strerror or error}): make it a "
                    "folder that this user may write, or choose another (RWS_STATE)."
                ) from error
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            stack.callback(self._connection.close)
            # All text is ASCII. Damaged text must get as far as the comparison with its chain.
            self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
            self._prepare()
            self._resources = stack.pop_all()
        self._open = True

    def close(self) -> None:
        """Close the file and release it to others; a second time does nothing."""
        with self._mutex:
            self._open = False
            self._resources.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Have the connection alone."""
        with self._mutex, self._translated():
            if not self._open:
                raise StoreError("the journal is closed: the service is stopping")
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Have the connection alone, in a transaction that is durable when the block is left.

        Whatever the block or the commit raises, nothing of it is kept.
        """
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    # Of what was written and not synced, the log goes: a service that was killed
                    # next would find it and take it for committed.
                    if isinstance(error, sqlite3.Error):
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                raise

    def damage(self, what: str) -> IntegrityError:
        """The error for a file that is not as it was written."""
        return IntegrityError(
            f"{self._path} is damaged: {what}. Keep a copy of it, then put a backup in its place "
            "or move it away; without it the service starts a new journal, at generation 1."
        )

    def _prepare(self) -> None:
        """Make the schema of a new file; refuse one that is no sound journal of this version."""
        connection = self._connection
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        new = version == application == objects == 0
        if not new and application != APPLICATION:
            raise self.damage("it is an SQLite database, and not a journal of this service")
        if not new and version != VERSION:
            raise StoreError(
                f"{self._path} has schema {version}, and this version of rwsstore knows {VERSION}: "
                "install the version that wrote it, or choose another folder (RWS_STATE)."
            )
        connection.execute("PRAGMA journal_mode = WAL")
        if new:
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute("COMMIT")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise self.damage(str(found).replace("\n", " "))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let errors of SQLite leave as the library's."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            found = StoreError(f"{self._path} cannot be used: {error}")
            if code in _FULL:
                found = StorageFullError(
                    f"{self._path} cannot be written ({error}): nothing was recorded. "
                    "Make space on its device, or see whether it is sound, and ask again."
                )
            elif code in _DAMAGED:
                found = self.damage(str(error))
            elif code in _HELD:
                found = StoreError(
                    f"{self._path} is held by another program ({error}): nothing was recorded. "
                    "Close what reads it there, and ask again."
                )
            raise found from error
