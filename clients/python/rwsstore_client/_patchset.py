"""The patch set that a model has on for everybody: `model.patchset`."""

from rwsstore_client._messages import Match, change, get, path, read
from rwsstore_client._results import History, PatchSet, Verification
from rwsstore_client._strengths import Wanted, as_choices, strength
from rwsstore_client._transport import AsyncTransport, Plan, Transport


def _get(model: str) -> Plan[PatchSet]:
    return read((yield get(_path(model))), PatchSet)


def _replace(model: str, patchset: Wanted, if_match: Match) -> Plan[PatchSet]:
    document = {"patches": as_choices(patchset)}
    return read((yield change("PUT", _path(model), document=document, if_match=if_match)), PatchSet)


def _apply(
    model: str, patch: str, alpha: float | None, ta_loss: float | None, if_match: Match | None
) -> Plan[PatchSet]:
    document = strength(alpha, ta_loss) or None
    request = change("PUT", _path(model, patch), document=document, if_match=if_match)
    return read((yield request), PatchSet)


def _scale(
    model: str, patch: str, alpha: float | None, ta_loss: float | None, if_match: Match | None
) -> Plan[PatchSet]:
    document = strength(alpha, ta_loss)
    request = change("PATCH", _path(model, patch), document=document, if_match=if_match)
    return read((yield request), PatchSet)


def _remove(where: str, if_match: Match | None) -> Plan[PatchSet]:
    return read((yield change("DELETE", where, if_match=if_match)), PatchSet)


def _history(model: str, limit: int, before: int | None) -> Plan[History]:
    where = path("v1", "models", model, "history")
    return read((yield get(where, {"limit": limit, "before": before})), History)


def _rollback(model: str, generation: int, if_match: Match | None) -> Plan[PatchSet]:
    where = path("v1", "models", model, "rollback")
    document = {"generation": generation}
    return read((yield change("POST", where, document=document, if_match=if_match)), PatchSet)


def _verify(model: str) -> Plan[Verification]:
    return read((yield get(_path(model), {"verify": True})), Verification)


def _path(model: str, *patch: str) -> str:
    return path("v1", "models", model, "patchset", *patch)


class ActivePatchSet:
    """The patch set that a model has on, for every request that brings none of its own.

    Each change makes a new generation and returns it. With `if_match` (a generation, the patch set
    that one has seen, or "*") a change is made only where that is still the active one.
    """

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport, self._model = transport, model

    def get(self) -> PatchSet:
        """Read it."""
        return self._transport.run(_get(self._model))

    def replace(self, patchset: Wanted, *, if_match: Match) -> PatchSet:
        """Put on just these patches.

        Args:
            patchset: `{"fog": 0.6, "snow": TaLoss(1.0), "frost": None}`; None is the recommended
                strength, and {} the clean model.
            if_match: what is to be replaced; "*" is whatever there is.

        Raises:
            StaleGenerationError: somebody else changed it since.
            UnknownPatchError, InvalidRequestError, WrongModelError: nothing was changed.
        """
        return self._transport.run(_replace(self._model, patchset, if_match))

    def apply(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Put a patch on, or give the one that is on another strength.

        Args:
            patch: its name, NAME@VERSION or digest.
            alpha: its strength; the recommended one where neither is given.
            ta_loss: instead, the points of accuracy on clean images that it may cost.
            if_match: what must be active.

        Raises:
            UnknownPatchError, InvalidRequestError, WrongModelError, StaleGenerationError: nothing
                was changed.
        """
        return self._transport.run(_apply(self._model, patch, alpha, ta_loss, if_match))

    def scale(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Give a patch that is on another strength; as `apply`, which also puts it on.

        Raises:
            NotFoundError: it is not on.
            InvalidRequestError, StaleGenerationError: nothing was changed.
        """
        return self._transport.run(_scale(self._model, patch, alpha, ta_loss, if_match))

    def remove(self, patch: str, *, if_match: Match | None = None) -> PatchSet:
        """Take a patch off, to the bit.

        Raises:
            NotFoundError: it is not on.
            StaleGenerationError: nothing was changed.
        """
        return self._transport.run(_remove(_path(self._model, patch), if_match))

    def clear(self, *, if_match: Match | None = None) -> PatchSet:
        """Take all patches off.

        Raises:
            StaleGenerationError: nothing was changed.
        """
        return self._transport.run(_remove(_path(self._model), if_match))

    def history(self, *, limit: int = 50, before: int | None = None) -> History:
        """Read who changed it, when and how, the newest generation first.

        Args:
            limit: most generations, 1 to 1000.
            before: only older ones than this.
        """
        return self._transport.run(_history(self._model, limit, before))

    def rollback(self, generation: int, *, if_match: Match | None = None) -> PatchSet:
        """Put on again what was on in a generation; that becomes a new one.

        Raises:
            NotFoundError: there is no such generation.
            ConflictError: it cannot be put on any more; nothing was changed.
        """
        return self._transport.run(_rollback(self._model, generation, if_match))

    def verify(self) -> Verification:
        """Have the weights in the service's memory compared with freshly made ones."""
        return self._transport.run(_verify(self._model))


class AsyncActivePatchSet:
    """The patch set that a model has on; as `ActivePatchSet`, which says more of each method."""

    def __init__(self, transport: AsyncTransport, model: str) -> None:
        self._transport, self._model = transport, model

    async def get(self) -> PatchSet:
        """Read it."""
        return await self._transport.run(_get(self._model))

    async def replace(self, patchset: Wanted, *, if_match: Match) -> PatchSet:
        """Put on just these patches."""
        return await self._transport.run(_replace(self._model, patchset, if_match))

    async def apply(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Put a patch on, or give the one that is on another strength."""
        return await self._transport.run(_apply(self._model, patch, alpha, ta_loss, if_match))

    async def scale(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Give a patch that is on another strength; as `apply`, which also puts it on."""
        return await self._transport.run(_scale(self._model, patch, alpha, ta_loss, if_match))

    async def remove(self, patch: str, *, if_match: Match | None = None) -> PatchSet:
        """Take a patch off, to the bit."""
        return await self._transport.run(_remove(_path(self._model, patch), if_match))

    async def clear(self, *, if_match: Match | None = None) -> PatchSet:
        """Take all patches off."""
        return await self._transport.run(_remove(_path(self._model), if_match))

    async def history(self, *, limit: int = 50, before: int | None = None) -> History:
        """Read who changed it, when and how, the newest generation first."""
        return await self._transport.run(_history(self._model, limit, before))

    async def rollback(self, generation: int, *, if_match: Match | None = None) -> PatchSet:
        """Put on again what was on in a generation; that becomes a new one."""
        return await self._transport.run(_rollback(self._model, generation, if_match))

    async def verify(self) -> Verification:
        """Have the weights in the service's memory compared with freshly made ones."""
        return await self._transport.run(_verify(self._model))
