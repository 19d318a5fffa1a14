"""Patch sets, their history, and whether the weights are theirs."""

__all__ = ["AppliedPatch", "Generation", "History", "PatchSet", "ResolvedPatch", "Verification"]

from collections.abc import Iterator
from datetime import datetime

from rwsstore_client._results.base import Result


class AppliedPatch(Result):
    """One patch of a set, as it was asked for.

    Attributes:
        patch: what it was called: a name, name@version or digest.
        digest: SHA-256 of its file.
        alpha: its strength.
    """

    patch: str
    digest: str
    alpha: float


class ResolvedPatch(Result):
    """One patch whose tensors are added; composed patches stand as their parts."""

    name: str
    digest: str
    alpha: float


class PatchSet(Result):
    """A patch set that is, or was made, active: `patchset["fog"].alpha`, `"fog" in patchset`.

    Attributes:
        model: the model's name.
        generation: its number, for `if_match`.
        patches: as they were asked for.
        resolved: what is added to the clean weights, in order.
        state_digest: a hash of these and of the clean weights.
        at: when it became active.
        fault: why the active one could not be restored when the service started; predictions with
            it are refused until another is set.
    """

    model: str
    generation: int
    patches: tuple[AppliedPatch, ...]
    resolved: tuple[ResolvedPatch, ...]
    state_digest: str
    at: datetime
    fault: str | None = None

    def __len__(self) -> int:
        return len(self.patches)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[AppliedPatch]:  # type: ignore[override]
        return iter(self.patches)

    def __contains__(self, patch: object) -> bool:
        return any(patch in (found.patch, found.digest) for found in self.patches)

    def __getitem__(self, patch: str) -> AppliedPatch:
        """Find a patch by what it was called, or by its digest.

        Raises:
            KeyError: it is not on.
        """
        for found in self.patches:
            if patch in (found.patch, found.digest):
                return found
        raise KeyError(patch)

    def __str__(self) -> str:
        return ",".join(f"{found.patch}={found.alpha!r}" for found in self.patches) or "none"


class Generation(PatchSet):
    """One line of the history.

    Attributes:
        action: what was done: apply, replace, rollback, ...
        actor: name of the token that was used.
        address: where the request came from.
        request_id: of the request.
        previous_state_digest: before it.
        rolled_back_to: the generation that a rollback went back to.
    """

    action: str
    actor: str
    address: str
    request_id: str
    previous_state_digest: str
    rolled_back_to: int | None = None


class History(Result):
    """Generations, the newest first.

    Attributes:
        model: the model's name.
        generations: one page of them.
        next_before: ask with `before=` this for older ones; None at the end.
    """

    model: str
    generations: tuple[Generation, ...]
    next_before: int | None

    def __len__(self) -> int:
        return len(self.generations)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[Generation]:  # type: ignore[override]
        return iter(self.generations)

    def __getitem__(self, index: int) -> Generation:
        return self.generations[index]


class Verification(Result):
    """Whether the weights in the service's memory are those that were loaded and patched.

    Attributes:
        model: the model's name.
        generation: the active one.
        state_digest: what the weights should be.
        live_weights: fingerprint of the tensors in memory.
        tensors: how many were compared.
        ok: whether every bit is right.
        problems: what is not.
    """

    model: str
    generation: int
    state_digest: str
    live_weights: str
    tensors: int
    ok: bool
    problems: tuple[str, ...]
