"""The store: patches by digest and by name, over a read-only layer; and as one model sees it."""

import difflib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import platformdirs

from rwsstore.cache import LruCache
from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, ReadOnlyError, RwsError, UnknownPatchError
from rwsstore.files import OS_FILES, FileMark, OsFiles
from rwsstore.patches import ModelIdentity, Patch, Reach, reach_of
from rwsstore.store import records
from rwsstore.store.changes import Checker, Publisher, Witness, collect, remove_name
from rwsstore.store.folder import StoreFolder, check_digest, check_name, parse_reference
from rwsstore.store.index import Index

_log = logging.getLogger(__name__)


def default_store_path() -> Path:
    """The folder in `RWS_STORE`, else `rwsstore/store` in the platform's data directory.

    Nothing is created. The variable is read each time.
    """
    told = os.environ.get("RWS_STORE", "")
    if told:
        return Path(told).expanduser().absolute()
    return platformdirs.user_data_path("rwsstore", appauthor=False) / "store"


_SHOWN = 5


class Store:
    """A folder of patches; threads and processes on one machine may share it.

    Opening one creates nothing; the first `publish` creates the folder. A *reference* is a name
    (`fog`: its latest version), `fog@2`, a digest, or 8 or more of a digest's first digits.

    Whatever takes a name, a digest or a reference raises ConfigError where it is malformed, and
    UnknownPatchError where nothing of the kind is there; whatever reads raises IntegrityError where
    that is damaged, and StoreError where it could not be read; whatever parses a patch raises
    FormatError or TensorError where this rwsstore does not read it; whatever writes raises
    ReadOnlyError where it may not, and StorageFullError where the device is full or failed.

    Args:
        root: the folder. Not on a network file system.
        base: a read-only store underneath, read where this one has nothing; "bundled" in
            listings.
        read_only: refuse to write; the folder may then be read-only.
        files: where the folder is.

    Raises:
        ConfigError: the base was not opened read-only.
        StoreError: a newer rwsstore wrote the folder.
        IntegrityError: its marker is damaged.
    """

    def __init__(
        self,
        root: Path,
        *,
        base: Optional["Store"] = None,
        read_only: bool = False,
        files: OsFiles = OS_FILES,
    ) -> None:
        if base is not None and not base.read_only:
            raise ConfigError(f"the base {base.root} must be opened with read_only=True.")
        own = StoreFolder(Path(root).absolute(), read_only=read_only, files=files)
        self._layers: tuple[StoreFolder, ...] = (own, *(base._layers if base is not None else ()))
        self._indexes: tuple[Index, ...] = (
            Index(own),
            *(base._indexes if base is not None else ()),
        )

    @property
    def root(self) -> Path:
        """The folder of the uppermost layer."""
        return self._layers[0].root

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._layers[0].read_only

    def has(self, digest: Digest) -> bool:
        """Whether an object of this digest is in a layer."""
        return any(layer.objects.has(digest) for layer in self._layers)

    def read(self, digest: Digest) -> bytes:
        """Read an object's bytes from the uppermost layer that holds it, hashing them each time.

        Raises:
            IntegrityError: the bytes are not those that were written. The object has been moved
                to quarantine, unless its layer is read-only.
        """
        for layer in self._layers:
            if layer.objects.has(digest):
                return layer.read(digest)
        raise UnknownPatchError(f"no patch {digest} in the store.")

    def reach(self, patch: Patch) -> Reach:
        """Measure how much of its model a patch touches.

        Args:
            patch: in the store or not; the parts of a composed one are read here.
        """
        parts = [Patch.from_bytes(self.read(digest)).metadata for digest, _ in patch.parts]
        return reach_of(patch.metadata, parts)

    def _describe(self, digest: Digest) -> records.Description | None:
        """Describe an object for the index; None, and a warning, where that cannot be done."""
        try:
            patch = Patch.from_bytes(self.read(digest))
        except RwsError as error:
            _log.warning("left out of the listing: %s", error)
            return None
        try:
            return records.Description.of(patch, self.reach(patch))
        except RwsError as error:
            _log.warning("not known what %s touches: %s", patch.name, error)
            return records.Description.of(patch, reach_of(patch.metadata), whole=False)

    def versions(self, name: str) -> tuple[records.Version, ...]:
        """All versions of a name, the oldest first; none if no layer has it."""
        check_name(name)
        for layer in self._layers:
            digests = layer.refs.read(name)
            if digests:
                return tuple(
                    records.Version(name, version, digest, layer.name)
                    for version, digest in enumerate(digests, start=1)
                )
        return ()

    def history(self, name: str) -> tuple[records.Version, ...]:
        """All versions of a name that exists, the oldest first; else near names are suggested."""
        versions = self.versions(name)
        if not versions:
            names = {known for layer in self._layers for known in layer.refs.names()}
            close = difflib.get_close_matches(name, sorted(names), n=3)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise UnknownPatchError(f"no patch named {name!r} in the store.{hint}")
        return versions

    def resolve(self, reference: str) -> Digest:
        """Find the digest that a reference stands for; a ConfigError where it begins several."""
        wanted = parse_reference(reference)
        if wanted.prefix:
            matching = (layer.objects.matching(wanted.prefix) for layer in self._layers)
            found = sorted({digest for digests in matching for digest in digests})
            if not found:
                raise UnknownPatchError(
                    f"no patch whose digest begins with {wanted.prefix} in the store."
                )
            if len(found) > 1:
                raise ConfigError(
                    f"{wanted.prefix} begins the digests of {len(found)} patches: "
                    f"{', '.join(found[:_SHOWN])}. Give more digits."
                )
            return found[0]
        versions = self.history(wanted.name)
        number = wanted.version or len(versions)
        if number > len(versions):
            raise UnknownPatchError(
                f"no patch {reference!r} in the store: {wanted.name!r} has versions 1 to "
                f"{len(versions)}."
            )
        return versions[number - 1].digest

    def get(self, reference: str) -> Patch:
        """Read a patch."""
        return Patch.from_bytes(self.read(self.resolve(reference)))

    def mark(self, name: str) -> tuple[FileMark | None, ...]:
        """What changes when a name may have come to mean something else, cheaper than resolving it.

        Layers are looked at down to the uppermost that has the name: it hides those underneath.

        A change within 5 s of the time that a mark itself names may go unseen, for a file system
        may tell times so coarsely: such a mark is not to be kept.
        """
        marks: list[FileMark | None] = []
        for layer in self._layers:
            marks.append(layer.mark(layer.refs.path(name)))
            if marks[-1] is not None:
                break
        return tuple(marks)

    def list(
        self,
        *,
        kind: str | None = None,
        corruption: str | None = None,
        bits: int | None = None,
        architecture: Digest | None = None,
        max_touched: int | None = None,
        all_versions: bool = False,
        sort: records.Sort = "name",
    ) -> tuple[records.Entry, ...]:
        """List what has a name; the filters narrow it down.

        What is damaged is left out and logged as a warning; `fsck` tells all about it.

        Args:
            kind: of the patch.
            corruption: that it is for.
            bits: of its quantized tensors.
            architecture: fingerprint of the model's tensors.
            max_touched: bytes of the model that it touches at most.
            all_versions: every version instead of the latest of each name.
            sort: "name": by name and version; "touched" or "payload": what touches the fewest
                bytes of the model, or takes the fewest itself, first.
        """
        columns = {
            "kind": kind,
            "corruption": corruption,
            "bits": bits,
            "architecture": architecture,
        }
        wanted = [(column, value) for column, value in columns.items() if value is not None]

        def passes(entry: records.Entry) -> bool:
            if max_touched is not None:
                touched = entry.touched_bytes
                if touched is None or touched > max_touched:
                    return False
            return all(getattr(entry, column) == value for column, value in wanted)

        found: list[records.Entry] = []
        hidden: set[str] = set()
        for index in self._indexes:
            listing = index.listing(self._describe)
            for entry in listing.entries if all_versions else listing.latest:
                if entry.name not in hidden and passes(entry):
                    found.append(entry)
            hidden |= listing.names
        return records.in_order(found, sort)

    def publish(
        self,
        patch: Patch,
        *,
        name: str | None = None,
        expected: int | None = None,
        witness: Witness = lambda _published: None,
    ) -> records.Published:
        """Store a patch and make it the latest version of a name.

        When this returns, both are durable. When it raises, neither is there. Publishing what is
        the latest version already changes nothing.

        Args:
            patch: what to store.
            name: under which name; the patch's own by default.
            expected: the number of the latest version that the caller saw, 0 for none; what it is
                when this is called, by default.
            witness: told what is about to be published, once all of it but the name is written;
                if it raises an `RwsError`, nothing is published. It must not use the store.

        Raises:
            ConfigError: the name is not allowed, or the folder holds other things.
            FormatError: the patch is over 256 MiB.
            MismatchError: a part belongs to another clean model, or is composed itself.
            ConflictError: somebody else published under the name in between.
        """
        publisher = Publisher(self._layers, self.versions)
        return publisher.publish(patch, name, expected, witness)

    def remove(self, name: str) -> None:
        """Remove a name with all its versions; the objects stay until `gc`.

        A name of a layer underneath that it hid is visible again. Where only such a layer has the
        name, a ReadOnlyError is raised.
        """
        top = self._layers[0]
        top.check_writable()
        check_name(name)
        if not (top.is_store() and remove_name(top, name)):
            self.history(name)  # says so where no layer has it
            raise ReadOnlyError(f"name {name!r} lies in a read-only layer: it cannot be removed.")

    def verify(self, reference: str) -> Digest:
        """Read, hash and parse a patch and, where it is composed, its parts; give its digest."""
        patch = self.get(reference)
        for digest, _ in patch.parts:
            Patch.from_bytes(self.read(digest))
        return patch.digest

    def fsck(self, *, repair: bool = False) -> records.FsckReport:
        """Read, hash and parse every object, and follow every name, in all layers.

        Writers wait meanwhile. Without `repair` nothing is changed.

        Args:
            repair: move damaged objects, damaged refs and files that do not belong here to
                quarantine, and remove temporary files of interrupted writes; in the uppermost
                layer only. What is missing stays missing: publish it again.
        """
        if repair:
            self._layers[0].check_writable()
        reports = []
        for number, layer in enumerate(self._layers):
            check = Checker(layer, self._layers[number + 1 :], repair=repair and number == 0)
            if layer.read_only:
                reports.append(check.run())
            elif layer.is_store():
                with layer.locked():
                    reports.append(check.run())
            else:  # nothing was published yet
                reports.append(records.FsckReport(0, 0, (), ()))
        return records.FsckReport(
            objects=sum(report.objects for report in reports),
            refs=sum(report.refs for report in reports),
            findings=tuple(finding for report in reports for finding in report.findings),
            unreferenced=reports[0].unreferenced,
        )

    def gc(self, *, keep: Iterable[Digest] = (), dry_run: bool = False) -> records.GcReport:
        """Remove objects that no name, composed patch with a name, or caller reaches.

        Temporary files of interrupted writes are removed as well. Quarantine is left alone, and so
        are the layers underneath.

        Args:
            keep: digests to keep besides, with their parts; unknown ones are passed over.
            dry_run: count only.

        Raises:
            IntegrityError: a name's file or a reached object is damaged, so that it is not known
                what to keep; nothing was removed. Run `fsck`.
        """
        top = self._layers[0]
        top.check_writable()
        kept = [check_digest(digest) for digest in keep]
        if not top.is_store():
            return records.GcReport((), 0, 0, 0, dry_run)
        with top.locked():
            return collect(top, kept, dry_run=dry_run)


_LEARNT = 1024
_AHEAD_BYTES = 16 << 20


class FittingStore:
    """A store in which a plain name stands for the newest version made for one model.

    Patches of several models may share a name: one's own `fog` over the bundled one. Versions and
    digests mean what they mean in the store; a name of which no version was made for the model
    stands for its latest, so that the refusal can say what is there.

    What was learnt of a digest is remembered, for a digest is always one patch. A file that was
    read to learn of it is not read again by who gets the patch then: up to 16 MiB of such patches,
    and the last one whatever its size, wait for that. Safe to use from any thread.

    Args:
        store: the store.
        model: the clean model's identity.
    """

    def __init__(self, store: Store, model: ModelIdentity) -> None:
        self._store, self._model = store, model
        self._learnt = LruCache[Digest, records.Contents](_LEARNT)
        self._lock = threading.Lock()  # of what follows; not held while anything is read
        self._ahead: OrderedDict[Digest, Patch] = OrderedDict()

    def resolve(self, ref: str) -> Digest:
        """Find the digest that a reference stands for."""
        reference = parse_reference(ref)
        if not reference.name or reference.version is not None:
            return self._store.resolve(ref)
        digests = [one.digest for one in self._store.history(reference.name)]
        for digest in reversed(digests):
            if self.describe(digest).metadata.clean_weights == self._model.clean_weights:
                return digest
        return digests[-1]

    def get(self, ref: str) -> Patch:
        """Read the patch that a reference stands for."""
        digest = self.resolve(ref)
        with self._lock:
            patch = self._ahead.pop(digest, None)
        return Patch.from_bytes(self._store.read(digest)) if patch is None else patch

    def describe(self, digest: Digest) -> records.Contents:
        """Say what a patch is; its file is read the first time."""
        known = self._learnt.get(digest)
        if known is not None:
            return known
        patch = Patch.from_bytes(self._store.read(digest))
        contents = records.Contents(patch.metadata, patch.payload_bytes, patch.file_bytes)
        self._learnt.put(digest, contents)
        with self._lock:
            self._ahead[digest] = patch
            ahead = sum(waiting.file_bytes for waiting in self._ahead.values())
            while ahead > _AHEAD_BYTES and len(self._ahead) > 1:
                ahead -= self._ahead.popitem(last=False)[1].file_bytes
        return contents

    def list(
        self, *, kind: str | None = None, corruption: str | None = None
    ) -> tuple[records.Entry, ...]:
        """List the newest version of each name that was made for the model, by name."""
        newest: dict[str, records.Entry] = {}
        entries = self._store.list(
            kind=kind,
            corruption=corruption,
            architecture=self._model.architecture,
            all_versions=True,
        )
        for entry in entries:
            if entry.clean_weights == self._model.clean_weights:
                newest[entry.name] = entry
        return tuple(newest.values())
