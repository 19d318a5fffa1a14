"""The index: an SQLite database that answers listings, and may be thrown away at any time.

It lives in memory and is kept as one file, written atomically like everything else, so that it
can never be half written; the file is a database that any SQLite tool opens. What it says of an
object cannot become stale, for an object never changes; where a part of a composed patch was
missing, it is looked for again. What it says of the names is compared with the refs at each
listing. A file that is missing, damaged (32 bytes of SHA-256 at its end tell) or of another
version is made anew from objects and refs.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass

from rwsstore.canonical import Digest
from rwsstore.errors import RwsError
from rwsstore.files import read_bounded, write_atomic
from rwsstore.store.layout import StorePaths
from rwsstore.store.records import Description

_VERSION = 2
_MAX_BYTES = 1 << 28
_HASH_BYTES = 32

_SCHEMA = f"""
CREATE TABLE objects (
    digest TEXT PRIMARY KEY, kind TEXT, corruption TEXT, severity INTEGER, attack TEXT,
    budget REAL, bits INTEGER, architecture TEXT, clean_weights TEXT, file_bytes INTEGER,
    payload_bytes INTEGER, touched_bytes INTEGER, model_bytes INTEGER, deepest TEXT, alpha REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE refs (
    name TEXT, version INTEGER, digest TEXT, latest INTEGER, PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""

_SELECT = """
SELECT name, version, objects.* FROM refs JOIN objects USING (digest)
WHERE (:all_versions OR latest)
  AND (:kind IS NULL OR kind = :kind)
  AND (:corruption IS NULL OR corruption = :corruption)
  AND (:bits IS NULL OR bits = :bits)
  AND (:architecture IS NULL OR architecture = :architecture)
  AND (:max_touched IS NULL OR touched_bytes <= :max_touched)
ORDER BY name, version
"""


@dataclass(frozen=True)
class Filters:
    """Which entries are wanted; None lets all pass."""

    kind: str | None = None
    corruption: str | None = None
    bits: int | None = None
    architecture: Digest | None = None
    max_touched: int | None = None
    all_versions: bool = False


class Index:
    """The index of one store folder, shared by threads."""

    def __init__(self, layout: StorePaths) -> None:
        self._layout = layout
        self._image: bytes | None = None
        self._saved = False
        self._mutex = threading.Lock()

    def query(
        self,
        refs: Mapping[str, tuple[Digest, ...]],
        describe: Callable[[Digest], Description | None],
        filters: Filters,
    ) -> tuple[tuple[str, int, Description], ...]:
        """List (name, version, description), by name and version.

        Args:
            refs: all names with their versions, as they are now.
            describe: reads an object that the index does not know; None leaves it out.
            filters: which ones.
        """
        with self._mutex, self._database() as database:
            if _refresh(database, refs, describe) or self._image is None:
                database.commit()  # what is not committed, serialize leaves out
                self._image, self._saved = database.serialize(), False
            rows = database.execute(_SELECT, vars(filters)).fetchall()
        return tuple((name, version, Description(*values)) for name, version, *values in rows)

    def save(self) -> None:
        """Keep the index for the next process, where that is possible and nobody is writing."""
        path, files = self._layout.index, self._layout.files
        with self._mutex, suppress(RwsError):
            if self._image is None or (self._saved and files.is_file(path)):
                return
            with self._layout.locked(timeout=0):
                data = self._image + hashlib.sha256(self._image).digest()
                write_atomic(path, data, files=files)
                self._saved = True

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(":memory:")) as database:
            image = self._image or self._load()
            if image is None:
                database.executescript(_SCHEMA)
            else:
                database.deserialize(image)
            yield database

    def _load(self) -> bytes | None:
        """The saved database, if it is there, whole, and of this version."""
        try:
            data = read_bounded(
                self._layout.index, limit=_MAX_BYTES, what="index", files=self._layout.files
            )
        except RwsError:
            return None
        image, found = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
        whole = hashlib.sha256(image).digest() == found
        if not image or not whole or not _is_current(image):
            return None
        self._image, self._saved = image, True
        return image


def _is_current(image: bytes) -> bool:
    with closing(sqlite3.connect(":memory:")) as database, suppress(sqlite3.Error):
        database.deserialize(image)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        return bool(version == _VERSION)
    return False


def _refresh(
    database: sqlite3.Connection,
    refs: Mapping[str, tuple[Digest, ...]],
    describe: Callable[[Digest], Description | None],
) -> bool:
    """Bring the index up to date; say whether anything had to be done."""
    changed = False
    wanted = {digest for versions in refs.values() for digest in versions}
    rows = database.execute("SELECT * FROM objects").fetchall()
    known = {row[0]: Description(*row) for row in rows}
    # A missing part may have come back: that alone changes what is said of an object.
    settled = {digest for digest, found in known.items() if found.touched_bytes is not None}
    for digest in sorted(wanted - settled):
        description = describe(digest)
        if description is not None and description != known.get(digest):
            values = astuple(description)
            marks = ", ".join("?" * len(values))
            database.execute(f"INSERT OR REPLACE INTO objects VALUES ({marks})", values)  # noqa: S608 - marks are "?"
            changed = True
    for digest in sorted(known.keys() - wanted):
        database.execute("DELETE FROM objects WHERE digest = ?", (digest,))
        changed = True
    return _refresh_refs(database, refs) or changed


def _refresh_refs(database: sqlite3.Connection, refs: Mapping[str, tuple[Digest, ...]]) -> bool:
    rows = [
        (name, version, digest, int(version == len(versions)))
        for name, versions in sorted(refs.items())
        for version, digest in enumerate(versions, start=1)
    ]
    if rows == database.execute("SELECT * FROM refs ORDER BY name, version").fetchall():
        return False
    database.execute("DELETE FROM refs")
    database.executemany("INSERT INTO refs VALUES (?, ?, ?, ?)", rows)
    return True
