"""From what a caller asks for to patches by digest and strength, and to changes of what is on."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rwsstore.cache import LruCache
from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, RwsError
from rwsstore.files import FileMark
from rwsstore.patches import parse_request
from rwsstore.runtime import Chosen, Edit, Patches, find_on, put_on, rescale, without_zeros
from rwsstore.store import FittingStore, Store
from rwsstore.store.folder import parse_reference
from rwsstore_service.engine.records import Wanted

ACTIVE = "active"
"""The active patch set, wherever a patch set is one string."""

_KEPT = 1024
_MAX_TEXT = 512
_SETTLED_NS = 5_000_000_000

_Marks = tuple[tuple[str, tuple[FileMark | None, ...]], ...]


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
        store: where they are, as the model sees it.
        at_most: patches that a prediction may bring along.
    """

    def __init__(self, store: FittingStore, *, at_most: int) -> None:
        self.store, self._at_most = store, at_most

    def find(self, choice: Choice) -> Chosen:
        """Find one patch and its strength, which may be 0.

        Raises:
            RwsError: it is not there, or may not have that strength.
        """
        digest = self.store.resolve(choice.patch)
        return Chosen(choice.patch, digest, self.strength(choice, digest))

    def choose(self, choices: Iterable[Choice]) -> Patches:
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
        return without_zeros(chosen.values())

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

    def strength(self, choice: Choice, digest: Digest) -> float:
        """The strength of a choice that stands for this patch.

        Raises:
            RwsError: the patch is not there, or none of its strengths stays within the budget.
        """
        if choice.alpha is not None:
            return float(choice.alpha)
        metadata = self.store.describe(digest).metadata
        if choice.ta_loss is not None:
            return metadata.alpha_for(choice.ta_loss)
        return metadata.alpha.recommended


def replace(finder: Finder, choices: Sequence[Choice]) -> Edit:
    """Want these patches and no others."""
    return lambda _on: finder.choose(choices)


def clear() -> Edit:
    """Want the clean model."""
    return lambda _on: ()


def apply(finder: Finder, choice: Choice) -> Edit:
    """Want one patch besides what is on."""
    return lambda on: put_on(on, finder.find(choice))


def scale(finder: Finder, choice: Choice) -> Edit:
    """Want another strength for a patch that is on; the very patch stays, by its digest."""

    def edit(on: Patches) -> Patches:
        found = find_on(on, choice.patch, finder.store.resolve)
        return rescale(on, found, finder.strength(choice, found.digest))

    return edit


def remove(finder: Finder, patch: str) -> Edit:
    """Want all that is on but one patch."""
    return lambda on: rescale(on, find_on(on, patch, finder.store.resolve), 0)


class PatchSetReader:
    """Reads patch sets; safe to use from several threads.

    What a text means is kept with the marks of the files of all names in it. As long as these are
    what they were, so is the meaning: a name that is published anew, removed or hidden, by
    whichever process, has another file. Texts with digests are not kept: whether such a patch is
    still there is not told by any name.

    Args:
        finder: finds the patches.
        store: where it looks.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self, finder: Finder, store: Store, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._finder, self._store, self._clock = finder, store, clock
        self._known = LruCache[str, tuple[Patches, _Marks]](_KEPT)

    def find(self, text: str) -> Patches | None:
        """What a text means, if that is known; takes some microseconds for each name."""
        wanted, marks = self._known.get(text) or (None, ())
        try:
            still = all(self._store.mark(name) == mark for name, mark in marks)
        except RwsError:
            return None
        return wanted if still else None

    def read(self, text: str) -> Wanted:
        """Read a patch set: active, none, or `fog=0.6,frost=0.4`; looks at files.

        Raises:
            RwsError: as `Finder.read`.
        """
        marks = self._marks(text)  # before: what changes meanwhile must not be missed
        wanted = self._finder.read(text)
        if wanted is None or marks is None:
            return wanted
        # A file that changed just now may change once more and have the same mark.
        files = [mark for _, layers in marks for mark in layers if mark is not None]
        now = self._clock()
        if all(now - mark.changed > _SETTLED_NS for mark in files):
            self._known.put(text, (wanted, marks))
        return wanted

    def _marks(self, text: str) -> _Marks | None:
        if len(text) > _MAX_TEXT or text.strip() in ("", ACTIVE):
            return None
        try:
            names = [parse_reference(reference).name for reference in parse_request(text)]
            return tuple((name, self._store.mark(name)) for name in names) if all(names) else None
        except RwsError:  # the finder will say what is wrong
            return None
