"""The journal: audit log, numbered generations and idempotent answers in one SQLite file."""

__all__ = ["Journal", "Recorded"]

from rwsstore_service.engine.journal.journal import Journal, Recorded
