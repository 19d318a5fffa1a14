"""The audit log."""

__all__ = ["AuditLog", "AuditRecord"]

from collections.abc import Iterator
from datetime import datetime

from rwsstore_client._results.base import Result


class AuditRecord(Result):
    """One change, to a patch set or to the store.

    Attributes:
        seq: its number, from 1 on, without gaps.
        at: when it was made.
        action: what was done: apply, publish, delete, ...
        subject: the model, or the patch as name@version.
        actor: name of the token that was used.
        address: where the request came from.
        request_id: of the request.
        generation: that it made; None for a change to the store.
        digests: of the patches that are on after it, or of the one that was stored or deleted.
        state_digest: after it; "" for a change to the store.
        previous_state_digest: before it.
        chain: SHA-256 over the chain of the record before and this record.
    """

    seq: int
    at: datetime
    action: str
    subject: str
    actor: str
    address: str
    request_id: str
    generation: int | None
    digests: tuple[str, ...]
    state_digest: str
    previous_state_digest: str
    chain: str


class AuditLog(Result):
    """Records of the audit log, the newest first.

    Attributes:
        records: one page of them.
        next_before: ask with `before=` this for older ones; None at the end.
    """

    records: tuple[AuditRecord, ...]
    next_before: int | None

    def __len__(self) -> int:
        return len(self.records)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[AuditRecord]:  # type: ignore[override]
        return iter(self.records)

    def __getitem__(self, index: int) -> AuditRecord:
        return self.records[index]
