"""One change to a model's patch set: who asks for it, on which condition, and how it is made."""

__all__ = ["Changing", "ChangingDep"]

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from rwsstore_service.deps import AdminDep, HostDep, KeyDep, ServiceDep
from rwsstore_service.engine.active import Active, Change
from rwsstore_service.engine.editing import Edit
from rwsstore_service.engine.host import ModelHost
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.records import Action, Actor
from rwsstore_service.engine.service import Service
from rwsstore_service.observability.metrics import Outcome
from rwsstore_service.routes.changing import Ask, IfMatch, carry_out, etag, if_match, recorded
from rwsstore_service.schemas.making import patchset_answer


@dataclass(frozen=True)
class Changing:
    """What every route that changes a patch set depends on.

    Attributes:
        service: whose changes are made one at a time.
        host: the model that the path names.
        actor: who asks.
        request: as it came in.
        match: the header If-Match.
        key: idempotency key.
    """

    service: Service
    host: ModelHost
    actor: Actor
    request: Request
    match: str | None
    key: str | None

    async def make(
        self, action: Action, edit: Edit, *, rolled_back_to: int | None = None
    ) -> Response:
        """Make the change in its turn, and answer with the patch set that is active then.

        Args:
            action: what it is called in the history.
            edit: makes the wanted patch set of the active one.
            rolled_back_to: generation that a rollback goes back to.
        """
        host = self.host
        ask = await Ask.of(self.request, self.actor, action, self.key)

        def answer(active: Active) -> Recorded:
            body = patchset_answer(host.name, active)
            return recorded(ask, 200, body, **etag(active.generation))

        change = Change(
            actor=ask.actor,
            action=action,
            edit=edit,
            expected=if_match(self.match),
            key=ask.key,
            answer=answer,
            rolled_back_to=rolled_back_to,
        )

        def act() -> tuple[Recorded, Outcome]:
            before = host.active
            after = host.change(change)
            return answer(after), "unchanged" if after is before else "done"

        return await carry_out(self.service, ask, act)


async def _changing(
    service: ServiceDep,
    host: HostDep,
    actor: AdminDep,
    request: Request,
    match: IfMatch = None,
    key: KeyDep = None,
) -> Changing:
    return Changing(service, host, actor, request, match, key)


ChangingDep = Annotated[Changing, Depends(_changing)]
