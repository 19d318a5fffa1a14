"""The tables of the journal.

`records` holds each record as canonical JSON and its chain; `subject` and `generation` repeat what
the JSON says, so that they can be looked up. `mentions` says which record was the last to name a
digest in a generation. Neither number can be left out, used twice or changed, whoever writes: the
triggers see to that. `answers` are what idempotency keys got.
"""

__all__ = ["APPLICATION", "SCHEMA", "VERSION"]

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
