"""Objects, files named by the SHA-256 of their exact bytes; and refs, each a name's versions."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from rwsstore.canonical import DIGEST_PATTERN, Digest, canonical_json, sha256_hex
from rwsstore.config import Frozen
from rwsstore.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    MissingFileError,
    RwsError,
    UnknownPatchError,
)
from rwsstore.files import FileMark, is_temporary, make_folders, read_bounded, write_atomic
from rwsstore.files.layer import reading, writing
from rwsstore.patches import MAX_PATCH_BYTES
from rwsstore.store.layout import StorePaths, check_digest, check_name

MAX_OBJECT_BYTES = MAX_PATCH_BYTES
"""The largest object that is written or read: 256 MiB."""

_OBJECT_SUFFIX = ".safetensors"


class Objects:
    """The objects of one store folder. Who writes or moves holds the store's lock."""

    def __init__(self, layout: StorePaths) -> None:
        self._layout = layout
        self._files = layout.files

    def path(self, digest: Digest) -> Path:
        """Where an object lies.

        Raises:
            ConfigError: the digest is malformed.
        """
        check_digest(digest)
        return self._layout.objects / digest[:2] / f"{digest}{_OBJECT_SUFFIX}"

    def has(self, digest: Digest) -> bool:
        """Whether an object of this digest is there, good or not."""
        path = self.path(digest)
        with reading(path, "patch"):
            return self._files.is_file(path)

    def read(self, digest: Digest) -> bytes:
        """Read an object and hash what was read.

        Raises:
            UnknownPatchError: it is not there.
            IntegrityError: the bytes are not those that were written.
            StoreError: it could not be read.
        """
        path = self.path(digest)
        try:
            data = read_bounded(path, limit=MAX_OBJECT_BYTES, what="patch", files=self._files)
        except MissingFileError as error:
            raise UnknownPatchError(f"no patch {digest} in the store.") from error
        except FormatError as error:
            raise IntegrityError(f"object {digest} is damaged: {error}") from error
        found = sha256_hex(data)
        if found != digest:
            raise IntegrityError(f"object {digest} is damaged: its bytes hash to {found}.")
        return data

    def write(self, digest: Digest, data: bytes) -> None:
        """Make an object durable; a damaged one in its place goes to quarantine.

        Raises:
            StorageFullError, ReadOnlyError, StoreError: it could not be written.
        """
        path = self.path(digest)
        make_folders(path.parent, files=self._files)
        if self._is_good(digest):
            with writing(path):  # it may stem from a process that was killed before its last sync
                self._files.fsync_folder(path.parent)
        else:
            if self.has(digest):
                self._layout.isolate(path)
            write_atomic(path, data, files=self._files)
        with writing(path):
            self._files.fsync_folder(self._layout.objects)

    def _is_good(self, digest: Digest) -> bool:
        try:
            self.read(digest)
        except (IntegrityError, UnknownPatchError):
            return False
        return True

    def isolate(self, digest: Digest) -> Path | None:
        """Move an object to quarantine if, read once more, it is still damaged.

        Returns:
            Where it is now; None when it is good or gone.
        """
        if self._is_good(digest) or not self.has(digest):
            return None
        return self._layout.isolate(self.path(digest))

    def remove(self, digest: Digest) -> None:
        """Remove an object, durably."""
        self._layout.remove(self.path(digest))

    def discard(self, digest: Digest) -> None:
        """Remove an object whose publication failed, if it is there and can be removed."""
        with suppress(OSError):
            self._files.unlink(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Size of an object in bytes."""
        with reading(self.path(digest), "patch"):
            return self._files.size(self.path(digest))

    def digests(self) -> tuple[Digest, ...]:
        """Digests of all objects, sorted."""
        return tuple(
            path.name.removesuffix(_OBJECT_SUFFIX)
            for path in self._paths()
            if self._is_object(path)
        )

    def matching(self, prefix: Digest) -> tuple[Digest, ...]:
        """Digests that begin with at least two digits given, sorted."""
        names = self._layout.names(self._layout.objects / prefix[:2])
        paths = [self._layout.objects / prefix[:2] / name for name in names]
        found = [path.name.removesuffix(_OBJECT_SUFFIX) for path in paths if self._is_object(path)]
        return tuple(digest for digest in found if digest.startswith(prefix))

    def strays(self) -> tuple[Path, ...]:
        """Files among the objects that are neither objects nor temporary."""
        return tuple(
            path
            for path in self._paths()
            if not self._is_object(path) and not is_temporary(path.name)
        )

    def _paths(self) -> Iterator[Path]:
        for shard in self._layout.names(self._layout.objects):
            folder = self._layout.objects / shard
            if not self._files.is_folder(folder):
                yield folder
                continue
            for name in self._layout.names(folder):
                yield folder / name

    def _is_object(self, path: Path) -> bool:
        digest = path.name.removesuffix(_OBJECT_SUFFIX)
        well_formed = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        return well_formed and path == self.path(digest)


MAX_VERSIONS = 10_000
"""The most versions that a name may have."""

_MAX_BYTES = 1 << 20
_REF_SUFFIX = ".json"


class _RefFile(Frozen, strict=True):
    format: Literal[1] = 1
    name: str
    versions: Annotated[
        tuple[Annotated[str, Field(pattern=DIGEST_PATTERN)], ...],
        Field(min_length=1, max_length=MAX_VERSIONS),
    ]


class Refs:
    """The names of one store folder. Who writes or removes holds the store's lock."""

    def __init__(self, layout: StorePaths) -> None:
        self._layout = layout
        self._files = layout.files

    def path(self, name: str) -> Path:
        """Where a name's file lies.

        Raises:
            ConfigError: the name is malformed.
        """
        return self._layout.refs / f"{check_name(name)}{_REF_SUFFIX}"

    def read(self, name: str) -> tuple[Digest, ...]:
        """Digests of a name's versions, from version 1 on; none if there is no such name.

        Raises:
            IntegrityError: its file is damaged.
            StoreError: it could not be read.
        """
        path = self.path(name)
        try:
            data = read_bounded(path, limit=_MAX_BYTES, what="ref", files=self._files)
            ref = _RefFile.model_validate_json(data)
        except MissingFileError:
            return ()
        except (FormatError, ValidationError) as error:
            raise IntegrityError(f"the file {path} of name {name!r} is damaged.") from error
        if ref.name != name:
            raise IntegrityError(f"the file {path} is that of name {ref.name[:64]!r}.")
        return ref.versions

    def mark(self, name: str) -> FileMark | None:
        """What changes when the name's versions may have; None if there is no such name.

        Raises:
            ConfigError: the name is malformed.
            StoreError: its file could not be looked at.
        """
        path = self.path(name)
        try:
            with reading(path, "ref"):
                return self._files.mark(path)
        except MissingFileError:
            return None

    def write(self, name: str, versions: Sequence[Digest]) -> None:
        """Replace a name's versions in one step, durably.

        Raises:
            ConfigError: over 10,000 versions.
            StorageFullError, ReadOnlyError, StoreError: it could not be written.
        """
        if len(versions) > MAX_VERSIONS:
            raise ConfigError(
                f"name {name!r} has {MAX_VERSIONS} versions, no more are kept. Choose another name."
            )
        ref = _RefFile(name=name, versions=tuple(versions))
        text = canonical_json(ref.model_dump(mode="json"))
        write_atomic(self.path(name), text.encode(), files=self._files)

    def restore(self, name: str, versions: Sequence[Digest]) -> bool:
        """Put a name back after a write of it failed; say whether that is durable."""
        with suppress(RwsError):
            if self.read(name) != tuple(versions):
                if versions:
                    self.write(name, versions)
                else:
                    self.remove(name)
            return True
        return False

    def settle(self) -> None:
        """Make durable what a killed process may have left without its last sync.

        Raises:
            StorageFullError, StoreError: the folder could not be synced.
        """
        with writing(self._layout.refs):
            self._files.fsync_folder(self._layout.refs)

    def remove(self, name: str) -> None:
        """Remove a name, durably."""
        self._layout.remove(self.path(name))

    def has(self, name: str) -> bool:
        """Whether a name is there, its file good or not."""
        path = self.path(name)
        with reading(path, "ref"):
            return self._files.is_file(path)

    def names(self) -> tuple[str, ...]:
        """All names, sorted; their files may still be damaged."""
        found = self._layout.names(self._layout.refs)
        return tuple(file.removesuffix(_REF_SUFFIX) for file in found if _is_ref(file))

    def strays(self) -> tuple[Path, ...]:
        """Files among the refs that are neither refs nor temporary."""
        found = self._layout.names(self._layout.refs)
        return tuple(
            self._layout.refs / file
            for file in found
            if not _is_ref(file) and not is_temporary(file)
        )


def _is_ref(file: str) -> bool:
    try:
        check_name(file.removesuffix(_REF_SUFFIX))
    except ConfigError:
        return False
    return file.endswith(_REF_SUFFIX)
