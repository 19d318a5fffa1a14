"""Answers kept for idempotency keys, so that a repeated request gets the same one."""

__all__ = ["Recorded", "find_answer", "keep_answer", "sweep_answers"]

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rwsstore.canonical import Digest, canonical_json
from rwsstore_service.engine.journal.rows import ascii_text, timestamp


@dataclass(frozen=True)
class Recorded:
    """An answer that was given.

    Attributes:
        fingerprint: of the request; another request under the same key is refused.
        status: of the response.
        body: of the response.
        headers: that belong to it.
    """

    fingerprint: Digest
    status: int
    body: str
    headers: Mapping[str, str]


def keep_answer(
    connection: sqlite3.Connection, actor: str, key: str, at: datetime, answer: Recorded
) -> None:
    """Keep an answer, in place of an older one under its key."""
    body = canonical_json([answer.fingerprint, answer.status, answer.body, dict(answer.headers)])
    connection.execute(
        "INSERT OR REPLACE INTO answers (actor, key, at, body) VALUES (?, ?, ?, ?)",
        (ascii_text(actor), ascii_text(key), timestamp(at), body),
    )


def find_answer(
    connection: sqlite3.Connection, actor: str, key: str, since: datetime
) -> Recorded | None:
    """Find the answer under a key, if it was given after a time."""
    row = connection.execute(
        "SELECT body FROM answers WHERE actor = ? AND key = ? AND at > ?",
        (ascii_text(actor), ascii_text(key), timestamp(since)),
    ).fetchone()
    return Recorded(*json.loads(row[0])) if row else None


def sweep_answers(connection: sqlite3.Connection, since: datetime, most: int) -> None:
    """Remove what was given up to a time, and the oldest beyond a number."""
    connection.execute("DELETE FROM answers WHERE at <= ?", (timestamp(since),))
    connection.execute(
        "DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?", (most,)
    )
