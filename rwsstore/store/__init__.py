"""The store: patches by content and by name, durable, checked at every read."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.store.folder import check_name as check_name
    from rwsstore.store.records import (
        Contents as Contents,
        Entry as Entry,
        Published as Published,
        Sort as Sort,
        in_order as in_order,
    )
    from rwsstore.store.store import (
        FittingStore as FittingStore,
        Store as Store,
        default_store_path as default_store_path,
    )
else:
    faces.lazy(__name__)
