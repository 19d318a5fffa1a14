"""One folder of a store, as a layer that lies over others."""

__all__ = ["Layer"]

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from rwsstore.canonical import Digest
from rwsstore.errors import IntegrityError, ReadOnlyError, StoreError
from rwsstore.files import FileLayer
from rwsstore.store.index import Description, Filters, Index
from rwsstore.store.layout import Layout
from rwsstore.store.objects import Objects
from rwsstore.store.records import Entry, LayerName
from rwsstore.store.refs import Refs

_log = logging.getLogger(__name__)


class Layer:
    """A folder's objects, refs and index.

    Args:
        root: the folder; need not exist.
        read_only: never write, not even the index or to quarantine.
        files: where the folder is.
    """

    def __init__(self, root: Path, *, read_only: bool, files: FileLayer) -> None:
        self.layout = Layout(root, files)
        self.objects, self.refs = Objects(self.layout), Refs(self.layout)
        self.read_only = read_only
        self.name: LayerName = "bundled" if read_only else "user"
        self._index = Index(self.layout)

    def check_writable(self) -> None:
        """Refuse to go on where nothing may be written.

        Raises:
            ReadOnlyError: this layer is read-only.
        """
        if self.read_only:
            raise ReadOnlyError(f"the store {self.layout.root} is read-only: publish to another.")

    def read(self, digest: Digest) -> bytes:
        """Read an object; a damaged one is moved to quarantine. The lock is not held.

        Raises:
            UnknownPatchError, IntegrityError, StoreError: as `Objects.read`.
        """
        try:
            return self.objects.read(digest)
        except IntegrityError as error:
            raise IntegrityError(f"{error} {self._isolate(digest)}") from error

    def _isolate(self, digest: Digest) -> str:
        if self.read_only:
            return "It lies in a read-only layer: install that again."
        try:
            with self.layout.locked():
                path = self.objects.isolate(digest)
        except StoreError as error:
            return f"It could not be moved to quarantine: {error}"
        return f"It was moved to {path}: publish the patch again." if path else "Read it again."

    def remove(self, name: str) -> bool:
        """Remove a name, durably; say whether it was there.

        Raises:
            StorageFullError, ReadOnlyError, StoreError: it could not be removed.
        """
        with self.layout.locked():
            found = self.refs.has(name)
            if found:
                self.refs.remove(name)
            else:  # perhaps a process was killed that had removed it, but not synced
                self.refs.settle()
            return found

    def entries(
        self, filters: Filters, describe: Callable[[Digest], Description | None]
    ) -> tuple[Entry, ...]:
        """List this layer's names, whatever lies over them."""
        rows = self._index.query(self._read_refs(), describe, filters)
        if not self.read_only and self.layout.is_store():
            self._index.save()
        return tuple(
            Entry(name=name, version=version, layer=self.name, **vars(description))
            for name, version, description in rows
        )

    def _read_refs(self) -> Mapping[str, tuple[Digest, ...]]:
        refs = {}
        for name in self.refs.names():
            try:
                refs[name] = self.refs.read(name)
            except IntegrityError as error:
                _log.warning("left out of the listing: %s", error)
        return {name: versions for name, versions in refs.items() if versions}
