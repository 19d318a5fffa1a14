"""The store: patches by content and by name, durable, checked at every read."""

__all__ = [
    "MAX_OBJECT_BYTES",
    "Contents",
    "Entry",
    "Finding",
    "FittingStore",
    "FsckReport",
    "GcReport",
    "Published",
    "Sort",
    "Store",
    "Version",
    "check_digest",
    "check_name",
    "default_store_path",
    "in_order",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.store.layout import check_digest, check_name, default_store_path
    from rwsstore.store.objects import MAX_OBJECT_BYTES
    from rwsstore.store.records import (
        Contents,
        Entry,
        Finding,
        FsckReport,
        GcReport,
        Published,
        Sort,
        Version,
        in_order,
    )
    from rwsstore.store.store import FittingStore, Store
else:
    faces.lazy(__name__)
