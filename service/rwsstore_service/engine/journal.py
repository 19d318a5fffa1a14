"""The journal of the service: the audit log, generations, and answers kept for idempotency keys."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Self

from rwsstore.canonical import Digest, canonical_json
from rwsstore.errors import ConfigError
from rwsstore_service.engine.database import Database
from rwsstore_service.engine.records import (
    COLUMNS,
    JournalEntry,
    Note,
    Row,
    ascii_text,
    check_end,
    decode,
    encode,
    fault,
    faults,
    last_mention,
    mention,
    timestamp,
)


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


_log = logging.getLogger(__name__)

_CHECKED_AT_START = 64
_MOST_FAULTS = 1000
_MOST = 2**63 - 1  # SQLite's greatest integer

_FROM = f"SELECT {COLUMNS} FROM records WHERE"  # noqa: S608 - constant
_RECORDS = f"{_FROM} seq < ? ORDER BY seq DESC LIMIT ?"
_GENERATIONS = f"""
{_FROM} subject = ? AND generation IS NOT NULL AND generation < ? ORDER BY generation DESC LIMIT ?
"""


class Journal:
    """Audit log, generations and idempotent answers of one service, append-only and durable.

    Any thread may use it. What `append` and `remember` have returned from survives a killed
    process and a power cut. Every record that is read is compared with its chain first.

    Args:
        folder: holds the file; made where it is missing. One journal at a time has it open.
        clock: tells the time; where it goes back, records keep the latest time seen.
        keep_answers: most answers kept for idempotency keys.
        answers_for: how long they are kept.

    Raises:
        StoreError: another service has the folder, a newer version wrote it, or it cannot be used.
        IntegrityError: the file, or one of the latest records, is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        keep_answers: int = 10_000,
        answers_for: timedelta = timedelta(hours=24),
    ) -> None:
        self._clock = clock
        self._keep_answers = keep_answers
        self._answers_for = answers_for
        self._database = Database(folder)
        try:
            with self._database.reading() as connection:
                missing = check_end(connection)
            if missing:
                raise self._database.damage(missing)
            latest = self.records(limit=_CHECKED_AT_START)
        except BaseException:
            self._database.close()
            raise
        self._time = latest[0].at if latest else datetime.min.replace(tzinfo=UTC)

    def close(self) -> None:
        """Close the file and let others have it; a second time does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def append(
        self,
        note: Note,
        *,
        key: str | None = None,
        answer: Callable[[JournalEntry], Recorded] | None = None,
    ) -> JournalEntry:
        """Record a change, durably, in one transaction with its answer.

        Args:
            note: what was done.
            key: idempotency key that the answer is kept under, for the note's actor.
            answer: makes it of the record; called only where there is a key.

        Raises:
            StorageFullError: no space, or the device failed. After this and every other error
                nothing was recorded, and the next record gets the same number.
        """
        with self._database.writing() as connection:
            values = connection.execute(_RECORDS, (_MOST, 1)).fetchone()
            last = self._sound(Row(*values)) if values else None
            generation = None
            if note.activates:
                (generation,) = connection.execute(
                    "SELECT ifnull(max(generation), 0) + 1 FROM records "
                    "WHERE subject = ? AND generation IS NOT NULL",
                    (ascii_text(note.subject),),
                ).fetchone()
            row = encode(note, self._now(), generation, last)
            connection.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
                (row.seq, row.subject, row.generation, row.body, row.chain),
            )
            entry = decode(row)
            if note.activates:
                mention(connection, row.seq, note.digests)
            if key is not None and answer is not None:
                self._keep(connection, note.actor.name, key, answer(entry))
        # A witness: who can write the file could forge the whole chain, but not this line.
        known = {
            "seq": entry.seq,
            "action": entry.action,
            "subject": entry.subject,
            "generation": entry.generation,
            "actor": entry.actor.name,
            "chain": entry.chain,
        }
        if entry.actor.request_id:
            known["request_id"] = entry.actor.request_id
        _log.info("recorded", extra=known)
        return entry

    def remember(self, actor: str, key: str, answer: Recorded) -> None:
        """Keep an answer that goes with no record; an older one under the key is replaced.

        Raises:
            StorageFullError: no space, or the device failed.
        """
        with self._database.writing() as connection:
            self._keep(connection, actor, key, answer)

    def recall(self, actor: str, key: str) -> Recorded | None:
        """Find the answer that an actor got under an idempotency key; None once it is too old."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT body FROM answers WHERE actor = ? AND key = ? AND at > ?",
                (ascii_text(actor), ascii_text(key), timestamp(self._now() - self._answers_for)),
            ).fetchone()
            return Recorded(*json.loads(row[0])) if row else None

    def latest(self, subject: str) -> JournalEntry | None:
        """The newest generation of a subject."""
        return next(iter(self.history(subject, limit=1)), None)

    def generation(self, subject: str, number: int) -> JournalEntry | None:
        """One generation of a subject; None if there is none of that number."""
        entries = self.history(subject, limit=1, before=min(number, _MOST - 1) + 1)
        return next((entry for entry in entries if entry.generation == number), None)

    def history(
        self, subject: str, *, limit: int, before: int | None = None
    ) -> tuple[JournalEntry, ...]:
        """Generations of a subject, the newest first: at most `limit`, numbered below `before`.

        Raises:
            IntegrityError: one of them is damaged.
        """
        with self._database.reading() as connection:
            values = (ascii_text(subject), _bounded(before), _counted(limit))
            return self._entries(connection.execute(_GENERATIONS, values))

    def records(self, *, limit: int, before: int | None = None) -> tuple[JournalEntry, ...]:
        """The whole audit log, the newest first: at most `limit`, with a `seq` below `before`.

        Raises:
            IntegrityError: one of them is damaged.
        """
        with self._database.reading() as connection:
            values = (_bounded(before), _counted(limit))
            return self._entries(connection.execute(_RECORDS, values))

    def refers_to(self, digests: Iterable[Digest]) -> int | None:
        """The newest generation, of any subject, that names one of these patches anywhere."""
        with self._database.reading() as connection:
            found = max((last_mention(connection, digest) for digest in set(digests)), default=0)
            row = connection.execute(
                "SELECT generation FROM records WHERE seq = ?", (found,)
            ).fetchone()
            return int(row[0]) if row else None

    def verify(self) -> tuple[str, ...]:
        """Walk the whole chain, while others go on; one line for each fault, at most 1000."""
        return tuple(islice(faults(self._database), _MOST_FAULTS))

    def _now(self) -> datetime:
        """The time, never earlier than before."""
        self._time = max(self._time, self._clock().astimezone(UTC))
        return self._time

    def _keep(self, connection: sqlite3.Connection, actor: str, key: str, answer: Recorded) -> None:
        """Keep an answer, in place of an older one; let go of what is too old or too many."""
        now = self._now()
        body = canonical_json(
            [answer.fingerprint, answer.status, answer.body, dict(answer.headers)]
        )
        connection.execute(
            "INSERT OR REPLACE INTO answers (actor, key, at, body) VALUES (?, ?, ?, ?)",
            (ascii_text(actor), ascii_text(key), timestamp(now), body),
        )
        connection.execute(
            "DELETE FROM answers WHERE at <= ?", (timestamp(now - self._answers_for),)
        )
        connection.execute(
            "DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?",
            (self._keep_answers,),
        )

    def _entries(self, rows: sqlite3.Cursor) -> tuple[JournalEntry, ...]:
        return tuple(decode(self._sound(Row(*values))) for values in rows)

    def _sound(self, row: Row) -> Row:
        found = fault(row)
        if found is not None:
            raise self._database.damage(found)
        return row


def _bounded(before: int | None) -> int:
    return _MOST if before is None else max(-_MOST, min(before, _MOST))


def _counted(limit: int) -> int:
    if limit < 1:  # SQLite takes a negative one for none
        raise ConfigError(f"limit is {limit}; 1 or more are listed")
    return min(limit, _MOST)
