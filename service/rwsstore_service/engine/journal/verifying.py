"""The walk over the whole journal."""

__all__ = ["MOST_FAULTS", "check_end", "find_faults"]

import sqlite3
from collections.abc import Iterator
from itertools import islice

from rwsstore.errors import IntegrityError
from rwsstore_service.engine.journal.database import Database
from rwsstore_service.engine.journal.rows import COLUMNS, Row, decode, fault, last_mention

MOST_FAULTS = 1000

_PAGE = 64
_BEFORE_ALL = -(2**63)


def find_faults(database: Database) -> tuple[str, ...]:
    """Compare every record with its chain and its index entries, a page at a time."""
    return tuple(islice(_faults(database), MOST_FAULTS))


def check_end(connection: sqlite3.Connection) -> str | None:
    """Say if the last records are missing: the highest number ever given is kept apart."""
    (last,) = connection.execute("SELECT ifnull(max(seq), 0) FROM records").fetchone()
    (given,) = connection.execute(
        "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'"
    ).fetchone()
    return _missing(last + 1, given) if last < given else None


def _faults(database: Database) -> Iterator[str]:
    after = 0
    first = _BEFORE_ALL
    try:
        while True:
            with database.reading() as connection:
                rows = _page(connection, first)
                found = list(_faults_of(connection, rows, after)) if rows else []
                end = None if rows else check_end(connection)
            yield from found
            if not rows:
                break
            first = rows[-1].seq
            after = max(after, first)
        if end:
            yield end
    except IntegrityError as error:
        yield str(error)


def _page(connection: sqlite3.Connection, after: int) -> list[Row]:
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - constant
        (after, _PAGE),
    )
    return [Row(*values) for values in rows]


def _faults_of(connection: sqlite3.Connection, rows: list[Row], after: int) -> Iterator[str]:
    for row in rows:
        if row.seq > after + 1:
            yield _missing(after + 1, row.seq - 1)
        else:
            found = fault(row)
            if found is not None:
                yield found
            elif row.generation is not None:
                yield from _unindexed(connection, row)
        after = max(after, row.seq)


def _unindexed(connection: sqlite3.Connection, row: Row) -> Iterator[str]:
    """What a sound generation should be found by, and is not."""
    found = connection.execute(
        "SELECT seq FROM records WHERE subject = ? AND generation = ?",
        (row.subject, row.generation),
    ).fetchone()
    if found != (row.seq,):
        yield f"record {row.seq} is not found as generation {row.generation}"
    entry = decode(row)
    digests = {chosen.digest for chosen in entry.patches}
    digests.update(digest for _, digest, _ in entry.resolved)
    for digest in sorted(digests):
        if last_mention(connection, digest) < row.seq:
            yield f"record {row.seq} is not found by its patch {digest}"


def _missing(first: int, last: int) -> str:
    return (
        f"record {first} is missing" if first == last else f"records {first} to {last} are missing"
    )
