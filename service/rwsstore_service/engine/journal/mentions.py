"""Which record was the last to name a patch in a generation."""

__all__ = ["last_mention", "mention"]

import sqlite3
from collections.abc import Iterable

from rwsstore.canonical import Digest
from rwsstore_service.engine.journal.rows import ascii_text


def mention(connection: sqlite3.Connection, seq: int, digests: Iterable[Digest]) -> None:
    """Note that a record names patches."""
    connection.executemany(
        "INSERT INTO mentions VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET seq = excluded.seq",
        [(ascii_text(digest), seq) for digest in sorted(digests)],
    )


def last_mention(connection: sqlite3.Connection, digest: Digest) -> int:
    """Number of the last record that names a patch; 0 if none does."""
    row = connection.execute(
        "SELECT seq FROM mentions WHERE digest = ?", (ascii_text(digest),)
    ).fetchone()
    return int(row[0]) if row else 0
