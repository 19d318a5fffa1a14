"""Patch sets as predictions name them, remembered for as long as they mean the same."""

__all__ = ["PatchSetReader"]

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rwsstore.errors import RwsError
from rwsstore.files import FileMark
from rwsstore.patches import parse_request
from rwsstore.store import Store
from rwsstore.store.names import parse_reference
from rwsstore_service.engine.choosing import ACTIVE, Finder
from rwsstore_service.engine.records import Chosen, Wanted

_KEPT = 1024
_MAX_TEXT = 512
_SETTLED_NS = 5_000_000_000

_Marks = tuple[tuple[str, tuple[FileMark | None, ...]], ...]


@dataclass(frozen=True)
class _Known:
    wanted: tuple[Chosen, ...]
    marks: _Marks


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
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def find(self, text: str) -> tuple[Chosen, ...] | None:
        """What a text means, if that is known; takes some microseconds for each name."""
        with self._lock:
            known = self._known.get(text)
            if known is not None:
                self._known.move_to_end(text)
        return known.wanted if known is not None and self._still(known.marks) else None

    def read(self, text: str) -> Wanted:
        """Read a patch set: active, none, or `fog=0.6,frost=0.4`; looks at files.

        Raises:
            RwsError: as `Finder.read`.
        """
        marks = self._marks(text)  # before: what changes meanwhile must not be missed
        wanted = self._finder.read(text)
        if wanted is not None and marks is not None and self._settled(marks):
            with self._lock:
                self._known[text] = _Known(wanted, marks)
                self._known.move_to_end(text)
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        return wanted

    def _marks(self, text: str) -> _Marks | None:
        if len(text) > _MAX_TEXT or text.strip() in ("", ACTIVE):
            return None
        try:
            names = [parse_reference(reference).name for reference in parse_request(text)]
            return tuple((name, self._store.mark(name)) for name in names) if all(names) else None
        except RwsError:  # the finder will say what is wrong
            return None

    def _still(self, marks: _Marks) -> bool:
        try:
            return all(self._store.mark(name) == mark for name, mark in marks)
        except RwsError:
            return False

    def _settled(self, marks: _Marks) -> bool:
        """Whether every further change is sure to give another mark."""
        now = self._clock()
        files = [mark for _, layers in marks for mark in layers if mark is not None]
        return all(now - mark.changed > _SETTLED_NS for mark in files)
