"""From what a caller asks for to patches by digest, each at a strength."""

__all__ = ["ACTIVE", "Choice", "Finder"]

from collections.abc import Iterable
from dataclasses import dataclass

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError
from rwsstore.patches import ModelIdentity, Patch, parse_request
from rwsstore.store import FittingStore, Store
from rwsstore_service.engine.records import Chosen, Wanted

ACTIVE = "active"
"""The active patch set, wherever a patch set is one string."""


@dataclass(frozen=True)
class Choice:
    """One patch as a caller names it.

    Attributes:
        patch: its name, name@version, or digest.
        alpha: its strength; None for the recommended one, or what `ta_loss` allows.
        ta_loss: points of TA that it may cost.
    """

    patch: str
    alpha: float | None = None
    ta_loss: float | None = None


class Finder:
    """Finds patches for one model; safe to use from several threads.

    Args:
        store: where they are.
        model: whose patches a plain name stands for.
        at_most: patches that a prediction may bring along.
    """

    def __init__(self, store: Store, model: ModelIdentity, *, at_most: int) -> None:
        self._store, self._fitting = store, FittingStore(store, model)
        self._at_most = at_most

    def resolve(self, ref: str) -> Digest:
        """Find the digest that a reference stands for.

        Raises:
            RwsError: as `FittingStore.resolve`.
        """
        return self._fitting.resolve(ref)

    def get(self, ref: str) -> Patch:
        """Read the patch that a reference stands for.

        Raises:
            RwsError: as `FittingStore.get`.
        """
        return self._fitting.get(ref)

    def find(self, choice: Choice) -> Chosen:
        """Find one patch and its strength, which may be 0.

        Raises:
            RwsError: it is not there, or may not have that strength.
        """
        digest = self.resolve(choice.patch)
        return Chosen(choice.patch, digest, self._strength(choice, digest))

    def choose(self, choices: Iterable[Choice]) -> tuple[Chosen, ...]:
        """Find patches and their strengths; one at strength 0 is left out.

        Raises:
            RwsError: a patch that is not there, is named twice, or may not have that strength.
        """
        chosen: dict[Digest, Chosen] = {}
        for one in map(self.find, choices):
            if one.digest in chosen:
                first = chosen[one.digest].patch
                raise ConfigError(f"patch {one.patch!r} is named twice, as {first!r} before")
            chosen[one.digest] = one
        return tuple(one for one in chosen.values() if one.alpha != 0)

    def read(self, text: str) -> Wanted:
        """Read a patch set as a prediction names it: active, none, or `fog=0.6,frost=0.4`.

        Raises:
            RwsError: as `choose`; no text, or more patches than a prediction may bring along.
        """
        if not text.strip():  # of nothing nobody knows whether it means all or none
            raise ConfigError("the patch set is empty; expected active, none, or fog=0.6")
        if text.strip() == ACTIVE:
            return None
        wanted = parse_request(text)
        if len(wanted) > self._at_most:
            raise ConfigError(
                f"{len(wanted)} patches in one prediction's set; at most {self._at_most} are "
                "allowed (RWS_MAX_REQUEST_PATCHES): make the set the active one, or compose it"
            )
        return self.choose(Choice(name, alpha) for name, alpha in wanted.items())

    def _strength(self, choice: Choice, digest: Digest) -> float:
        if choice.alpha is not None:
            return float(choice.alpha)
        patch = self._store.get(digest)
        if choice.ta_loss is not None:
            return patch.alpha_for(choice.ta_loss)
        return patch.metadata.alpha.recommended
