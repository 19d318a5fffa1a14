"""Variants kept for reuse, bounded by bytes; each is built once, however many ask for it."""

__all__ = ["Resident"]

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable

from rwsstore.canonical import Digest
from rwsstore.patches import PatchSet
from rwsstore.runtime.variant import Variant

_Key = tuple[tuple[Digest, float], ...]


class _Build:
    """A build under way; who waits for it takes its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._variant: Variant | None = None
        self._error: BaseException | None = None

    def end(self, variant: Variant | None, error: BaseException | None = None) -> None:
        self._variant, self._error = variant, error
        self._lock.release()

    def result(self) -> Variant:
        with self._lock:
            if self._variant is None:
                assert self._error is not None  # noqa: S101  (it ended with one of the two)
                raise self._error
            return self._variant


class Resident:
    """The variants used last; safe to use from any thread.

    Counted are the tensors that each variant holds for itself, and once each patch that any of
    them refers to: its file's bytes and its codes.

    Args:
        limit: most bytes; the variant used last stays even if it alone is larger.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._variants: OrderedDict[_Key, Variant] = OrderedDict()
        self._patches: Counter[Digest] = Counter()
        self._building: dict[_Key, _Build] = {}
        self._nbytes = 0

    def __len__(self) -> int:
        return len(self._variants)

    @property
    def nbytes(self) -> int:
        """Bytes that are counted now."""
        return self._nbytes

    def find(self, patches: PatchSet, build: Callable[[], Variant]) -> Variant:
        """Find a variant, or build it; whoever asks for it meanwhile waits for this one.

        Args:
            patches: its patch set.
            build: called without any lock held.

        Raises:
            Exception: whatever `build` raised; the next one who asks tries again.
        """
        key = patches.items
        with self._lock:
            found = self._variants.get(key)
            if found is not None:
                self._variants.move_to_end(key)
                return found
            others = self._building.get(key)
            if others is None:
                mine = self._building[key] = _Build()
        if others is not None:
            return others.result()
        try:
            variant = build()
        except BaseException as error:
            with self._lock:
                del self._building[key]
            mine.end(None, error)
            raise
        with self._lock:
            del self._building[key]
            self._keep(key, variant)
        mine.end(variant)
        return variant

    def _keep(self, key: _Key, variant: Variant) -> None:
        self._variants[key] = variant
        self._nbytes += variant.nbytes
        for digest, patch in variant.sources.items():
            self._patches[digest] += 1
            if self._patches[digest] == 1:
                self._nbytes += patch.memory_bytes
        while self._nbytes > self._limit and len(self._variants) > 1:
            self._drop(self._variants.popitem(last=False)[1])

    def _drop(self, variant: Variant) -> None:
        self._nbytes -= variant.nbytes
        for digest, patch in variant.sources.items():
            self._patches[digest] -= 1
            if not self._patches[digest]:
                del self._patches[digest]
                self._nbytes -= patch.memory_bytes
