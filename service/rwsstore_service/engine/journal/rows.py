"""Records as they are stored: canonical JSON, chained by SHA-256.

chain = SHA-256(chain of the record before ‖ body), both as ASCII; before the first record stand 64
zeros. The body says everything else that the record has, its number included. Whoever can write
the file can also write a whole new chain; that shows only against a chain kept elsewhere, such as
in the service's log.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.errors import TensorError
from rwsstore_service.engine.records import Action, Actor, Chosen, Entry

COLUMNS = """
    seq, subject, generation, body, chain,
    (SELECT older.chain FROM records AS older WHERE older.seq = records.seq - 1)
"""

_FIRST = "0" * 64


@dataclass(frozen=True)
class Note:
    """What is to be recorded; the journal adds number, time, generation and chain.

    The attributes are those of `Entry`, and:

    Attributes:
        activates: whether a patch set became active, so that the record is its subject's next
            generation; the first is 1.
    """

    actor: Actor
    action: Action
    subject: str
    patches: tuple[Chosen, ...]
    resolved: tuple[tuple[str, Digest, float], ...]
    clean_weights: Digest
    state_digest: Digest
    previous_digest: Digest
    rolled_back_to: int | None = None
    activates: bool = False

    @property
    def digests(self) -> frozenset[Digest]:
        """Every patch that it names."""
        chosen = (patch.digest for patch in self.patches)
        return frozenset((*chosen, *(digest for _, digest, _ in self.resolved)))


@dataclass(frozen=True)
class Row:
    """A record as it lies in the table, in the order of `COLUMNS`.

    Attributes:
        previous: chain of the record before; None where there is none.
    """

    seq: int
    subject: str
    generation: int | None
    body: str
    chain: Digest
    previous: Digest | None


def ascii_text(text: str) -> str:
    """Write any text, also such as UTF-8 has no bytes for, so that SQLite can compare it."""
    return canonical_json(text)[1:-1]


def timestamp(at: datetime) -> str:
    """Write a time in UTC with microseconds; later times compare as greater text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def encode(note: Note, at: datetime, generation: int | None, last: Row | None) -> Row:
    """Make the record that follows another.

    Raises:
        TensorError: a strength is not finite.
    """
    seq, previous = (last.seq + 1, last.chain) if last else (1, _FIRST)
    document = {
        "seq": seq,
        "at": timestamp(at),
        "actor": vars(note.actor),
        "action": note.action,
        "subject": note.subject,
        "generation": generation,
        "patches": [[c.patch, c.digest, float(c.alpha)] for c in note.patches],
        "resolved": [[name, digest, float(alpha)] for name, digest, alpha in note.resolved],
        "clean_weights": note.clean_weights,
        "state_digest": note.state_digest,
        "previous_digest": note.previous_digest,
        "rolled_back_to": note.rolled_back_to,
    }
    try:
        body = canonical_json(document)
    except ValueError:
        raise TensorError(f"a strength of {note.subject!r} is not a finite number") from None
    return Row(seq, ascii_text(note.subject), generation, body, _chain(previous, body), previous)


def decode(row: Row) -> Entry:
    """Read a record that has no fault."""
    document = json.loads(row.body)
    return Entry(
        **{
            **document,
            "at": datetime.fromisoformat(document["at"]),
            "actor": Actor(**document["actor"]),
            "patches": tuple(Chosen(*values) for values in document["patches"]),
            "resolved": tuple((name, digest, a) for name, digest, a in document["resolved"]),
        },
        chain=row.chain,
    )


def fault(row: Row) -> str | None:
    """Say what is wrong with a record; None if nothing is."""
    previous = _FIRST if row.seq == 1 else row.previous
    if previous is None:
        return f"the record before record {row.seq} is missing"
    if _chain(previous, row.body) != row.chain:
        return f"record {row.seq}, or the chain of the one before, is not what was written"
    try:
        entry = decode(row)
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"record {row.seq} cannot be read"
    columns: tuple[Any, ...] = (row.seq, row.subject, row.generation)
    if columns != (entry.seq, ascii_text(entry.subject), entry.generation):
        return f"record {row.seq} is filed under something else than it says"
    return None


def _chain(previous: Digest, body: str) -> Digest:
    return sha256_hex((previous + body).encode())


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
