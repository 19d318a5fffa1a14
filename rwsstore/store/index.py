"""The index: what is listed of a store folder, and may be thrown away at any time.

It is a list in memory that stands as long as no name is written or removed, which the folder of
the refs tells. What it says of an object cannot become stale, for an object never changes; where a
part of a composed patch was missing, it is looked for again. So that the next process need not
read all objects, their descriptions are kept in a file, one line of JSON each behind a SHA-256 of
them all. A file that is missing, damaged or of another version is made anew.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.errors import IntegrityError, RwsError
from rwsstore.files import FileMark, read_bounded, write_atomic
from rwsstore.store.folder import StoreFolder
from rwsstore.store.records import Description, Entry

_log = logging.getLogger(__name__)

_MAX_BYTES = 1 << 28
_COLUMNS = canonical_json([field.name for field in fields(Description)])
_SETTLED_NS = 5_000_000_000
"""A file system may tell times so coarsely that another change within them goes unseen."""


@dataclass(frozen=True)
class Catalog:
    """What is in a folder.

    Attributes:
        names: all of them, of damaged refs too.
        entries: every version that can be described, by name and version.
        latest: of these, the latest versions of their names.
    """

    names: frozenset[str]
    entries: tuple[Entry, ...]
    latest: tuple[Entry, ...]


class Index:
    """The index of one folder, shared by threads."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self._path = folder.root / "index.jsonl"
        self._mutex = threading.Lock()
        self._known: dict[Digest, Description] | None = None
        self._saved = False
        self._kept: tuple[FileMark, Catalog] | None = None

    def listing(self, describe: Callable[[Digest], Description | None]) -> Catalog:
        """List the folder as it is now, whatever lies over it.

        Args:
            describe: reads an object that the index does not know; None leaves it out.
        """
        with self._mutex:
            before, mark = time.time_ns(), self._folder.mark(self._folder.refs.root)
            if self._kept is not None and self._kept[0] == mark:
                listing = self._kept[1]
            else:
                listing, whole = self._list(describe)
                settled = mark is not None and before - mark.changed > _SETTLED_NS
                self._kept = (mark, listing) if mark is not None and settled and whole else None
            self._save()
        return listing

    def _list(self, describe: Callable[[Digest], Description | None]) -> tuple[Catalog, bool]:
        """List the folder; say whether that stays so as long as no name changes."""
        names, refs = self._folder.refs.names(), dict[str, tuple[Digest, ...]]()
        for name in names:
            try:
                refs[name] = self._folder.refs.read(name)
            except IntegrityError as error:
                _log.warning("left out of the listing: %s", error)
        known = self._load() if self._known is None else self._known
        found = {}
        for digest in sorted({digest for versions in refs.values() for digest in versions}):
            description = known.get(digest)
            if description is None or description.touched_bytes is None:
                description = describe(digest) or description
            if description is not None:
                found[digest] = description
        if found != known:
            self._saved = False
        self._known = found
        entries = tuple(
            Entry(name=name, version=version, layer=self._folder.name, **vars(found[digest]))
            for name, versions in refs.items()
            for version, digest in enumerate(versions, start=1)
            if digest in found
        )
        latest = tuple(entry for entry in entries if entry.version == len(refs[entry.name]))
        whole = len(entries) == sum(map(len, refs.values())) and len(refs) == len(names)
        whole = whole and all(one.touched_bytes is not None for one in found.values())
        return Catalog(frozenset(names), entries, latest), whole

    def _save(self) -> None:
        """Keep the file for the next process, where that is possible and nobody is writing."""
        folder = self._folder
        if folder.read_only or (self._saved and folder.files.is_file(self._path)):
            return
        if folder.is_store():
            with suppress(RwsError), folder.locked(timeout=0):
                rows = [canonical_json(vars(one)).encode() for one in (self._known or {}).values()]
                write_atomic(self._path, b"\n".join([_head(rows), *rows]), files=folder.files)
                self._saved = True

    def _load(self) -> Mapping[Digest, Description]:
        """What the file says, if it is there, whole, and of this version."""
        with suppress(RwsError):
            data = read_bounded(
                self._path, limit=_MAX_BYTES, what="index", files=self._folder.files
            )
            head, *rows = data.split(b"\n")
            if head == _head(rows):
                self._saved = True
                known = (Description(**json.loads(row)) for row in rows)
                return {one.digest: one for one in known}
        return {}


def _head(rows: list[bytes]) -> bytes:
    """A hash of the columns' names, and of what is in them."""
    return sha256_hex(b"\n".join([_COLUMNS.encode(), *rows])).encode()
