"""Folders of a store over one another, and names and objects found through them."""

import difflib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from rwsstore.canonical import Digest
from rwsstore.errors import (
    ConfigError,
    IntegrityError,
    ReadOnlyError,
    RwsError,
    StoreError,
    UnknownPatchError,
)
from rwsstore.files import OsFiles
from rwsstore.patches import Patch, Reach, reach_of
from rwsstore.store.index import Filters, Index
from rwsstore.store.layout import StorePaths, check_name, parse_reference
from rwsstore.store.objects import Objects, Refs
from rwsstore.store.records import Description, Entry, LayerName, Version

_log = logging.getLogger(__name__)


class StoreFolder:
    """A folder's objects, refs and index.

    Args:
        root: the folder; need not exist.
        read_only: never write, not even the index or to quarantine.
        files: where the folder is.
    """

    def __init__(self, root: Path, *, read_only: bool, files: OsFiles) -> None:
        self.layout = StorePaths(root, files)
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


_SHOWN = 5


class Lookup:
    """Reads through layers. A name in an upper layer hides all versions of it underneath."""

    def __init__(self, layers: tuple[StoreFolder, ...]) -> None:
        self._layers = layers

    def has(self, digest: Digest) -> bool:
        """Whether an object of this digest is in a layer.

        Raises:
            ConfigError: the digest is malformed.
        """
        return any(layer.objects.has(digest) for layer in self._layers)

    def read(self, digest: Digest) -> bytes:
        """Read an object's bytes from the uppermost layer that holds it, hashing them each time.

        Raises:
            ConfigError: the digest is malformed.
            UnknownPatchError: no layer holds it.
            IntegrityError: the bytes are not those that were written. The object has been moved
                to quarantine, unless its layer is read-only.
            StoreError: it could not be read.
        """
        holders = [layer for layer in self._layers if layer.objects.has(digest)]
        if not holders:
            raise UnknownPatchError(f"no patch {digest} in the store.")
        return holders[0].read(digest)

    def reach(self, patch: Patch) -> Reach:
        """Measure how much of its model a patch touches.

        Args:
            patch: in the store or not; the parts of a composed one are read here.

        Raises:
            UnknownPatchError: a part is not in the store.
            IntegrityError, StoreError: as `read`.
            FormatError, TensorError: a part is not a patch that this rwsstore reads.
        """
        parts = [Patch.from_bytes(self.read(digest)).metadata for digest, _ in patch.parts]
        return reach_of(patch.metadata, parts)

    def _describe(self, digest: Digest) -> Description | None:
        """Describe an object for the index; None, and a warning, where that cannot be done."""
        try:
            patch = Patch.from_bytes(self.read(digest))
        except RwsError as error:
            _log.warning("left out of the listing: %s", error)
            return None
        try:
            return Description.of(patch, self.reach(patch))
        except RwsError as error:
            _log.warning("not known what %s touches: %s", patch.name, error)
            return Description.of(patch, reach_of(patch.metadata), whole=False)

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a name, the oldest first; none if no layer has it.

        Raises:
            ConfigError: the name is malformed.
            IntegrityError: the name's file is damaged.
        """
        check_name(name)
        for layer in self._layers:
            digests = layer.refs.read(name)
            if digests:
                return tuple(
                    Version(name, version, digest, layer.name)
                    for version, digest in enumerate(digests, start=1)
                )
        return ()

    def history(self, name: str) -> tuple[Version, ...]:
        """All versions of a name that exists, the oldest first.

        Raises:
            ConfigError, IntegrityError: as `versions`.
            UnknownPatchError: no layer has it; near names are suggested.
        """
        versions = self.versions(name)
        if not versions:
            names = {known for layer in self._layers for known in layer.refs.names()}
            close = difflib.get_close_matches(name, sorted(names), n=3)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise UnknownPatchError(f"no patch named {name!r} in the store.{hint}")
        return versions

    def resolve(self, reference: str) -> Digest:
        """Find the digest that a reference stands for.

        Raises:
            ConfigError: it is malformed, or a prefix of several digests.
            UnknownPatchError: nothing of that name, version or prefix is in the store.
            IntegrityError: the name's file is damaged.
        """
        wanted = parse_reference(reference)
        if wanted.prefix:
            return self._resolve_prefix(wanted.prefix)
        versions = self.history(wanted.name)
        number = wanted.version or len(versions)
        if number > len(versions):
            raise UnknownPatchError(
                f"no patch {reference!r} in the store: {wanted.name!r} has versions 1 to "
                f"{len(versions)}."
            )
        return versions[number - 1].digest

    def _resolve_prefix(self, prefix: Digest) -> Digest:
        found = sorted({name for layer in self._layers for name in layer.objects.matching(prefix)})
        if not found:
            raise UnknownPatchError(f"no patch whose digest begins with {prefix} in the store.")
        if len(found) > 1:
            raise ConfigError(
                f"{prefix} begins the digests of {len(found)} patches: "
                f"{', '.join(found[:_SHOWN])}. Give more digits."
            )
        return found[0]
