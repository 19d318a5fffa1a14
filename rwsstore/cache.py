"""What was used last, at hand."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class LruCache(Generic[_Key, _Value]):
    """Values by key; those that were not asked for the longest go. Safe from any thread.

    Args:
        limit: how much all values weigh together at most; how many, where none is weighed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: _Key) -> _Value | None:
        """The value of a key; None if it is not here."""
        kept = self._look(key)
        return None if kept is None else kept[0]

    def put(self, key: _Key, value: _Value, weight: int = 1) -> None:
        """Keep a value, in place of an older one. One above the limit is not kept."""
        with self._lock:
            self._weight -= self._kept.pop(key, (None, 0))[1]
            if weight > self._limit:  # it would drive out all others before itself
                return
            self._weight += weight
            self._kept[key] = value, weight
            while self._weight > self._limit:
                self._weight -= self._kept.popitem(last=False)[1][1]

    def find(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        """The value of a key, made where it is not here.

        No lock is held meanwhile: several who ask at once may each make it.
        """
        kept = self._look(key)
        if kept is not None:
            return kept[0]
        value = make()
        self.put(key, value)
        return value

    def _look(self, key: _Key) -> tuple[_Value, int] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
