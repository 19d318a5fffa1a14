"""What the engine's parts hand to each other.

chain = SHA-256(chain of the record before ‖ body), both as ASCII; before the first record stand 64
zeros. The body says everything else that the record has, its number included. Whoever can write
the file can also write a whole new chain; that shows only against a chain kept elsewhere, such as
in the service's log.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from torch import Tensor

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.errors import IntegrityError, TensorError
from rwsstore.runtime import Chosen, Patches
from rwsstore_service.engine.database import Database

SetAction = Literal["start", "replace", "clear", "apply", "scale", "remove", "rollback"]
"""What changes the patch set."""

StoreAction = Literal["publish", "compose", "delete"]
"""What changes the store."""

Action = Literal[SetAction, StoreAction]

ACTIONS: tuple[Action, ...] = get_args(Action)

Dropped = Literal["deadline", "displaced"]
"""Why a prediction that waited was not computed: its time was up, or its place went to another
patch set."""

DROPPED: tuple[Dropped, ...] = get_args(Dropped)


@dataclass(frozen=True)
class Actor:
    """Who asks: the token's name ("anonymous" without one), from where, in which request."""

    name: str
    address: str
    request_id: str


Wanted = Patches | None
"""The patch set that a prediction wants; None is the active one."""


@dataclass(frozen=True)
class Note:
    """What is to be recorded; the journal adds number, time, generation and chain.

    Attributes:
        actor: who caused it.
        action: what was done.
        subject: what it was done to: the model's name, or a patch as name@version.
        patches: the active patch set, as it was asked for; or the patch that was stored.
        resolved: (name, digest, α) of what is added to the clean weights, in order.
        clean_weights: fingerprint of the clean model.
        state_digest: after it ("" where no patch set became active).
        previous_digest: before it.
        rolled_back_to: the generation that a rollback went back to.
    """

    actor: Actor
    action: Action
    subject: str
    patches: Patches
    resolved: tuple[tuple[str, Digest, float], ...]
    clean_weights: Digest
    state_digest: Digest
    previous_digest: Digest
    rolled_back_to: int | None = None

    @property
    def activates(self) -> bool:
        """Whether a patch set became active: its subject's next generation; the first is 1."""
        return bool(self.state_digest)

    @property
    def digests(self) -> frozenset[Digest]:
        """Every patch that it names."""
        chosen = (patch.digest for patch in self.patches)
        return frozenset((*chosen, *(digest for _, digest, _ in self.resolved)))


@dataclass(frozen=True, kw_only=True)
class JournalEntry(Note):
    """One record of the journal.

    Attributes:
        seq: its number, from 1 on, without gaps.
        at: when it was written (UTC).
        generation: number of the patch set that became active; None if none did.
        chain: SHA-256 over the chain of the record before and everything in this one.
    """

    seq: int
    at: datetime
    generation: int | None
    chain: Digest


@dataclass(frozen=True)
class PredictedImages:
    """What was computed for one request.

    Attributes:
        logits: float32 [B, C].
        patches: the patch set that computed it.
        state_digest: of its variant.
        generation: of the active patch set; None where the request brought its own.
        queued: seconds that it waited.
        computed: seconds that the batch it was in took.
    """

    logits: Tensor
    patches: Patches
    state_digest: Digest
    generation: int | None
    queued: float
    computed: float


COLUMNS = """
    seq, subject, generation, body, chain,
    (SELECT older.chain FROM records AS older WHERE older.seq = records.seq - 1)
"""

_FIRST = "0" * 64


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
        **vars(note),
        "seq": seq,
        "at": timestamp(at),
        "generation": generation,
        "actor": vars(note.actor),
        "patches": [[c.patch, c.digest, float(c.alpha)] for c in note.patches],
        "resolved": [[name, digest, float(alpha)] for name, digest, alpha in note.resolved],
    }
    try:
        body = canonical_json(document)
    except ValueError:
        raise TensorError(f"a strength of {note.subject!r} is not a finite number") from None
    return Row(seq, ascii_text(note.subject), generation, body, _chain(previous, body), previous)


def decode(row: Row) -> JournalEntry:
    """Read a record that has no fault."""
    document = json.loads(row.body)
    return JournalEntry(
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


_PAGE = f"SELECT {COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT 64"  # noqa: S608 - constant
_BEFORE_ALL = -(2**63)


def check_end(connection: sqlite3.Connection) -> str | None:
    """Say if the last records are missing: the highest number ever given is kept apart."""
    (last,) = connection.execute("SELECT ifnull(max(seq), 0) FROM records").fetchone()
    (given,) = connection.execute(
        "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'"
    ).fetchone()
    return _missing(last + 1, given) if last < given else None


def faults(database: Database) -> Iterator[str]:
    """Compare every record with its chain and its index entries, a page at a time."""
    after, first = 0, _BEFORE_ALL
    try:
        while True:
            with database.reading() as connection:
                rows = [Row(*values) for values in connection.execute(_PAGE, (first,))]
                found = list(_faults_of(connection, rows, after))
                missing = None if rows else check_end(connection)
            yield from found
            if not rows:
                break
            first = rows[-1].seq
            after = max(after, first)
        if missing:
            yield missing
    except IntegrityError as error:
        yield str(error)


def _faults_of(connection: sqlite3.Connection, rows: list[Row], after: int) -> Iterator[str]:
    for row in rows:
        if row.seq > after + 1:
            yield _missing(after + 1, row.seq - 1)
        else:
            found = fault(row)
            if found is not None:
                yield found
            elif row.generation is not None:  # a sound one is found by what it says
                indexed = connection.execute(
                    "SELECT seq FROM records WHERE subject = ? AND generation = ?",
                    (row.subject, row.generation),
                ).fetchone()
                if indexed != (row.seq,):
                    yield f"record {row.seq} is not found as generation {row.generation}"
                for digest in sorted(decode(row).digests):
                    if last_mention(connection, digest) < row.seq:
                        yield f"record {row.seq} is not found by its patch {digest}"
        after = max(after, row.seq)


def _missing(first: int, last: int) -> str:
    return (
        f"record {first} is missing" if first == last else f"records {first} to {last} are missing"
    )
