"""The active patch set: declared whole, or changed step by step; its history."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from rwsstore.canonical import Digest
from rwsstore.runtime import Edit, Patches
from rwsstore_client import contract
from rwsstore_service.api.contract import PatchSetRequest, RollbackRequest, StrengthRequest
from rwsstore_service.api.description.openapi import ETAG
from rwsstore_service.api.requests import (
    CHANGE_PROBLEMS,
    Ask,
    AskDep,
    HostDep,
    PatchPath,
    ServiceDep,
    StrictRoute,
    demand_admin,
)
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.host import Active, Change, ModelHost
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, JournalEntry
from rwsstore_service.engine.service import Service
from rwsstore_service.wire.observability import Outcome
from rwsstore_service.wire.problems import ProblemError, problem_responses

_R = TypeVar("_R", contract.Generation, contract.AuditRecord)
_Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]


def patchset_answer(model: str, active: Active, fault: str | None = None) -> contract.PatchSet:
    """The active patch set; `fault` is why it is not served."""
    members = {
        "model": model,
        "generation": active.generation,
        "patches": active.patches,
        "resolved": resolved_parts(active.variant.resolved),
        "state_digest": active.variant.digest,
        "at": active.at,
        "fault": fault,
    }
    return contract.PatchSet.model_validate(members, from_attributes=True)


def _record(kind: type[_R], entry: JournalEntry) -> _R:
    """A record of the journal, as a `Generation` or an `AuditRecord`: each takes its members."""
    members = {
        "seq": entry.seq,
        "at": entry.at,
        "action": entry.action,
        "subject": entry.subject,
        "model": entry.subject,
        "actor": entry.actor.name,
        "address": entry.actor.address,
        "request_id": entry.actor.request_id,
        "generation": entry.generation,
        "patches": entry.patches,
        "digests": [one.digest for one in entry.patches],
        "resolved": resolved_parts(entry.resolved),
        "state_digest": entry.state_digest,
        "previous_state_digest": entry.previous_digest,
        "rolled_back_to": entry.rolled_back_to,
        "chain": entry.chain,
    }
    return kind.model_validate(members, from_attributes=True)


def resolved_parts(
    resolved: Iterable[tuple[str, Digest, float]],
) -> tuple[contract.ResolvedPatch, ...]:
    """What is added to the clean weights, of (name, digest, α)."""
    return tuple(
        contract.ResolvedPatch(name=name, digest=digest, alpha=alpha)
        for name, digest, alpha in resolved
    )


def if_match(header: str | None) -> frozenset[int] | None:
    """Read If-Match: the generations that it names; None for `*` or no header.

    What is no generation's ETag matches none.
    """
    if header is None or header.strip() == "*":
        return None
    tags = re.findall(r'(?:^|,)\s*"?([0-9]{1,18})"?\s*(?=,|$)', header)
    return frozenset(int(tag) for tag in tags)


def etag(generation: int) -> Mapping[str, str]:
    """The ETag of a generation, as a header."""
    return {"ETag": f'"{generation}"'}


@dataclass(frozen=True)
class Changing:
    """What every route that changes a patch set depends on.

    Attributes:
        host: the model that the path names.
        ask: the change as it came in.
        match: the header If-Match.
    """

    host: ModelHost
    ask: Ask
    match: str | None

    async def make(
        self, action: Action, edit: Edit, *, rolled_back_to: int | None = None
    ) -> Response:
        """Make the change in its turn, and answer with the patch set that is active then.

        Args:
            action: what it is called in the history.
            edit: makes the wanted patch set of the active one.
            rolled_back_to: generation that a rollback goes back to.
        """
        host, ask = self.host, self.ask

        def answer(active: Active) -> Recorded:
            return ask.answer(200, patchset_answer(host.name, active), **etag(active.generation))

        change = Change(
            actor=ask.actor,
            action=action,
            edit=edit,
            expected=if_match(self.match),
            key=ask.key,
            answer=answer,
            rolled_back_to=rolled_back_to,
        )

        def act(_service: Service) -> tuple[Recorded, Outcome]:
            before = host.active
            after = host.change(change)
            return answer(after), "unchanged" if after is before else "done"

        return await ask.carry_out(action, act)


IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description='The generation that was seen, as its ETag: `"7"`; or `*` for whichever.',
        examples=['"7"'],
    ),
]


async def _changing(host: HostDep, ask: AskDep, match: IfMatch = None) -> Changing:
    return Changing(host, ask, match)


ChangingDep = Annotated[Changing, Depends(_changing)]


router = APIRouter(prefix="/v1/models/{model}", tags=["Patch sets"], route_class=StrictRoute)

_ON_MODEL = ("unknown-model", *CHANGE_PROBLEMS, "stale-generation")
_ON_PATCH = (*_ON_MODEL, "unknown-patch", "wrong-model", "golden-mismatch", "not-finite")
_READ = ("unauthorized", "forbidden", "unknown-model", "invalid-request", "integrity")


def _responses(*problems: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": contract.PatchSet, **ETAG}, **problem_responses(*problems)}


@router.get(
    "/patchset",
    summary="Read the active patch set",
    response_model=contract.PatchSet | contract.Verification,
    responses={200: ETAG, **problem_responses(*_READ)},
)
async def read_patchset(
    host: HostDep,
    request: Request,
    response: Response,
    verify: Annotated[
        bool,
        Query(
            description="Compare the weights in memory with a fresh build, to the bit, and tell "
            "that instead; needs an admin token."
        ),
    ] = False,
) -> contract.PatchSet | contract.Verification:
    """The patch set, its generation (the ETag) and the state digest.

    Whoever has the clean weights and the patches can compute the state digest again.
    """
    if not verify:
        active = host.active
        response.headers.update(etag(active.generation))
        return patchset_answer(host.name, active, host.fault)
    demand_admin(request)
    active, found = await host.verify()
    problems = (*([host.fault] if host.fault else []), *found.problems)
    response.headers.update(etag(active.generation))
    return contract.Verification(
        model=host.name,
        generation=active.generation,
        state_digest=found.state_digest,
        live_weights=found.live_weights,
        tensors=found.tensors,
        ok=not problems,
        problems=problems,
    )


@router.put(
    "/patchset",
    summary="Replace the active patch set",
    responses=_responses(*_ON_PATCH, "precondition-required"),
)
async def replace_patchset(changing: ChangingDep, wanted: PatchSetRequest) -> Response:
    """Make exactly this patch set active; an empty one is the clean model.

    If-Match is needed, so that nobody's change is overwritten unseen. On any error the old patch
    set stays active.
    """
    if changing.match is None:
        raise ProblemError(
            "precondition-required",
            "send If-Match with the ETag of the patch set that this replaces, or *",
        )
    choices = [Choice(one.patch, one.alpha, one.ta_loss) for one in wanted.patches]
    return await changing.make("replace", editing.replace(changing.host.finder, choices))


@router.delete(
    "/patchset",
    summary="Take every patch off",
    responses=_responses(*_ON_MODEL),
)
async def clear_patchset(changing: ChangingDep) -> Response:
    """Make the clean model active; its weights are back to the bit."""
    return await changing.make("clear", editing.clear())


@router.put(
    "/patchset/{patch}",
    summary="Put one patch on",
    responses=_responses(*_ON_PATCH),
)
async def apply_patch(
    changing: ChangingDep,
    patch: PatchPath,
    strength: Annotated[StrengthRequest | None, Body()] = None,
) -> Response:
    """Put a patch on, or change its strength; the others stay. An alpha of 0 takes it off."""
    choice = _choice(patch, strength)
    return await changing.make("apply", editing.apply(changing.host.finder, choice))


@router.patch(
    "/patchset/{patch}",
    summary="Scale a patch that is on",
    responses=_responses(*_ON_PATCH, "not-applied"),
)
async def scale_patch(
    changing: ChangingDep,
    patch: PatchPath,
    strength: StrengthRequest,
) -> Response:
    """Give a patch that is on another strength; the very patch stays, whatever its name means."""
    choice = _choice(patch, strength)
    return await changing.make("scale", editing.scale(changing.host.finder, choice))


@router.delete(
    "/patchset/{patch}",
    summary="Take one patch off",
    responses=_responses(*_ON_MODEL, "not-applied"),
)
async def remove_patch(changing: ChangingDep, patch: PatchPath) -> Response:
    """Take a patch off; the others stay."""
    return await changing.make("remove", editing.remove(changing.host.finder, patch))


@router.get("/history", summary="List generations", responses=problem_responses(*_READ))
async def read_history(
    service: ServiceDep,
    host: HostDep,
    limit: _Limit = 50,
    before: Annotated[
        int | None, Query(ge=1, lt=2**63, description="Only generations below this.")
    ] = None,
) -> contract.History:
    """Every patch set that was active, the newest first: who made it so, when, from where."""
    entries = await run_in_threadpool(
        service.journal.history, host.name, limit=limit, before=before
    )
    generations = tuple(_record(contract.Generation, entry) for entry in entries)
    more = len(generations) == limit and generations[-1].generation > 1
    return contract.History(
        model=host.name,
        generations=generations,
        next_before=generations[-1].generation if more else None,
    )


@router.post(
    "/rollback",
    summary="Go back to a generation",
    responses=_responses(*_ON_PATCH, "unknown-generation", "other-model"),
)
async def roll_back(changing: ChangingDep, to: RollbackRequest) -> Response:
    """Make the patch set of an earlier generation active again, as a new generation.

    Its patches are found by digest, so that it does not matter what their names mean today.
    """

    def edit(_on: Patches) -> Patches:
        return changing.host.generation(to.generation).patches

    return await changing.make("rollback", edit, rolled_back_to=to.generation)


def _choice(patch: str, strength: StrengthRequest | None) -> Choice:
    if strength is None:
        return Choice(patch)
    return Choice(patch, strength.alpha, strength.ta_loss)


audit = APIRouter(prefix="/v1/audit", tags=["Patch sets"], route_class=StrictRoute)

_AUDIT_PROBLEMS = ("unauthorized", "forbidden", "invalid-request", "integrity")


@audit.get("", summary="Read the audit log", responses=problem_responses(*_AUDIT_PROBLEMS))
async def read_audit(
    service: ServiceDep,
    limit: _Limit = 50,
    before: Annotated[
        int | None, Query(ge=1, lt=2**63, description="Only records below this number.")
    ] = None,
) -> contract.AuditLog:
    """Everything that was changed, the newest first: patch sets, uploads, compositions, deletions.

    The log is append-only. Each record holds a hash over the one before, so that an edit shows.
    """
    entries = await run_in_threadpool(service.journal.records, limit=limit, before=before)
    more = len(entries) == limit and entries[-1].seq > 1
    return contract.AuditLog(
        records=tuple(_record(contract.AuditRecord, entry) for entry in entries),
        next_before=entries[-1].seq if more else None,
    )
