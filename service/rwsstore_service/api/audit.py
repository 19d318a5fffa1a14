"""The audit log."""

__all__ = ["router"]

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from rwsstore_service.api.answers import audit_record
from rwsstore_service.api.contract import AuditAnswer
from rwsstore_service.api.requests import AdminDep, ServiceDep, StrictRoute
from rwsstore_service.wire.problems import problem_responses

router = APIRouter(prefix="/v1/audit", tags=["Patch sets"], route_class=StrictRoute)

_READ = ("unauthorized", "forbidden", "invalid-request", "integrity")


@router.get("", summary="Read the audit log", responses=problem_responses(*_READ))
async def read_audit(
    service: ServiceDep,
    _actor: AdminDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
    before: Annotated[
        int | None, Query(ge=1, lt=2**63, description="Only records below this number.")
    ] = None,
) -> AuditAnswer:
    """Everything that was changed, the newest first: patch sets, uploads, compositions, deletions.

    The log is append-only. Each record holds a hash over the one before, so that an edit shows.
    """
    entries = await run_in_threadpool(service.journal.records, limit=limit, before=before)
    more = len(entries) == limit and entries[-1].seq > 1
    return AuditAnswer(
        records=tuple(map(audit_record, entries)), next_before=entries[-1].seq if more else None
    )
