"""The folder of a store: what lies where in it, how it is read and written, which names it takes.

::

    store.json                        this is a store, of format 1
    objects/ab/ab12….safetensors      patches, named by the SHA-256 of their bytes
    refs/fog.json                     a name's versions
    quarantine/                       what turned out to be damaged
    index.jsonl                       disposable; index.sqlite is that of an older rwsstore
    lock                              held while something is written
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from rwsstore import errors
from rwsstore.canonical import DIGEST_PATTERN, Digest, canonical_json, sha256_hex
from rwsstore.config import Frozen
from rwsstore.files import FileMark, OsFiles, make_folders, read_bounded, write_atomic
from rwsstore.files.atomic import reading, writing
from rwsstore.patches import MAX_PATCH_BYTES, NAME_PATTERN
from rwsstore.store.records import LayerName

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another writer before giving up."""


class Marker(Frozen, strict=True):
    """What `store.json` holds."""

    format: Annotated[int, Field(ge=1)] = 1
    kind: Literal["rwsstore"] = "rwsstore"


MARKER = canonical_json(Marker().model_dump())


class StoreFolder:
    """One folder, which need not exist: its objects, its refs, its marker and its lock.

    Whatever reads or writes raises a `StoreError` where the operating system refuses that. A
    read-only one is never written, not even the index or to quarantine.

    Raises:
        StoreError: a newer rwsstore wrote it.
        IntegrityError: its marker is damaged.
    """

    def __init__(self, root: Path, *, read_only: bool, files: OsFiles) -> None:
        self.root, self.read_only, self.files = root, read_only, files
        self.name: LayerName = "bundled" if read_only else "user"
        self.marker = root / "store.json"
        self.objects, self.refs = Objects(self), Refs(self)
        self.is_store()

    def is_store(self) -> bool:
        """Whether a store was made here; raises what the constructor does."""
        try:
            data = read_bounded(self.marker, limit=4096, what="store", files=self.files)
        except errors.MissingFileError:
            return False
        try:
            marker = Marker.model_validate_json(data)
        except ValidationError as error:
            raise errors.IntegrityError(
                f"{self.marker} is damaged. Write {MARKER} into it."
            ) from error
        if marker.format != 1:
            raise errors.StoreError(
                f"{self.root} is a store of format {marker.format}; this rwsstore reads format 1. "
                "Use a newer rwsstore."
            )
        return True

    def check_writable(self) -> None:
        """Refuse to write in a read-only layer."""
        if self.read_only:
            raise errors.ReadOnlyError(f"the store {self.root} is read-only: publish to another.")

    @contextmanager
    def locked(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Be the only writer; a StoreError is raised where another one wrote all the time."""
        path = self.root / "lock"
        with ExitStack() as stack:
            with writing(path):
                try:
                    stack.enter_context(self.files.lock(path, timeout))
                except TimeoutError:
                    raise errors.StoreError(
                        f"another process held {path} for over {timeout:g} s. Try again later."
                    ) from None
            yield

    def read(self, digest: Digest) -> bytes:
        """Read an object; a damaged one is moved to quarantine. The lock is not held."""
        try:
            return self.objects.read(digest)
        except errors.IntegrityError as error:
            raise errors.IntegrityError(f"{error} {self._isolate(digest)}") from error

    def _isolate(self, digest: Digest) -> str:
        if self.read_only:
            return "It lies in a read-only layer: install that again."
        try:
            with self.locked():
                if self.objects.is_good(digest) or not self.objects.has(digest):
                    return "Read it again."
                path = self.isolate(self.objects.path(digest))
        except errors.StoreError as error:
            return f"It could not be moved to quarantine: {error}"
        return f"It was moved to {path}: publish the patch again."

    def isolate(self, path: Path) -> Path:
        """Move a damaged file to quarantine, under a name that is free there."""
        quarantine = self.root / "quarantine"
        make_folders(quarantine, files=self.files)
        with writing(path):
            taken = set(self.files.names(quarantine))
            number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.{n}" not in taken)
            target = quarantine / f"{path.name}.{number}"
            self.files.rename(path, target)
            self.files.fsync_folder(quarantine)
            self.files.fsync_folder(path.parent)
        return target

    def names(self, folder: Path) -> tuple[str, ...]:
        """Sorted names in a folder; none where it does not exist."""
        try:
            with reading(folder, "store"):
                return self.files.names(folder)
        except errors.MissingFileError:
            return ()

    def mark(self, path: Path) -> FileMark | None:
        """What changes when a file, or the names in a folder, may have; None where nothing is."""
        try:
            with reading(path, "store"):
                return self.files.mark(path)
        except errors.MissingFileError:
            return None

    def remove(self, path: Path) -> None:
        """Remove a file, durably."""
        with writing(path):
            self.files.unlink(path)
            self.files.fsync_folder(path.parent)


MAX_OBJECT_BYTES = MAX_PATCH_BYTES
"""The largest object that is written or read: 256 MiB."""

_OBJECT_SUFFIX = ".safetensors"


class Objects:
    """The objects of a folder. Who writes or moves holds its lock."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder, self._files = folder, folder.files
        self.root = folder.root / "objects"

    def path(self, digest: Digest) -> Path:
        """Where an object lies; of a malformed digest a ConfigError says so."""
        check_digest(digest)
        return self.root / digest[:2] / f"{digest}{_OBJECT_SUFFIX}"

    def has(self, digest: Digest) -> bool:
        """Whether an object of this digest is there, good or not."""
        path = self.path(digest)
        with reading(path, "patch"):
            return self._files.is_file(path)

    def read(self, digest: Digest) -> bytes:
        """Read an object; an IntegrityError where its bytes are not those that were written."""
        path = self.path(digest)
        try:
            data = read_bounded(path, limit=MAX_OBJECT_BYTES, what="patch", files=self._files)
        except errors.MissingFileError as error:
            raise errors.UnknownPatchError(f"no patch {digest} in the store.") from error
        except errors.FormatError as error:
            raise errors.IntegrityError(f"object {digest} is damaged: {error}") from error
        found = sha256_hex(data)
        if found != digest:
            raise errors.IntegrityError(f"object {digest} is damaged: its bytes hash to {found}.")
        return data

    def is_good(self, digest: Digest) -> bool:
        """Whether an object is there and has its digest."""
        try:
            self.read(digest)
        except (errors.IntegrityError, errors.UnknownPatchError):
            return False
        return True

    def write(self, digest: Digest, data: bytes) -> None:
        """Make an object durable; a damaged one in its place goes to quarantine."""
        path = self.path(digest)
        make_folders(path.parent, files=self._files)
        if self.is_good(digest):
            with writing(path):  # it may stem from a process that was killed before its last sync
                self._files.fsync_folder(path.parent)
        else:
            if self.has(digest):
                self._folder.isolate(path)
            write_atomic(path, data, files=self._files)
        with writing(path):
            self._files.fsync_folder(self.root)

    def matching(self, prefix: Digest) -> tuple[Digest, ...]:
        """Digests that begin with at least two digits given, sorted."""
        found = map(self.digest_of, self.in_shard(prefix[:2]))
        return tuple(digest for digest in found if digest and digest.startswith(prefix))

    def in_shard(self, shard: str) -> tuple[Path, ...]:
        """What lies in the folder of the digests that begin with these two digits."""
        folder = self.root / shard
        return tuple(folder / name for name in self._folder.names(folder))

    def digest_of(self, path: Path) -> Digest:
        """The digest of the object that lies there; empty where it is none."""
        digest = path.name.removesuffix(_OBJECT_SUFFIX)
        well_formed = _DIGEST.fullmatch(digest) is not None
        return digest if well_formed and path == self.path(digest) else ""


MAX_VERSIONS = 10_000
"""The most versions that a name may have."""

_MAX_REF_BYTES = 1 << 20
_REF_SUFFIX = ".json"


class _RefFile(Frozen, strict=True):
    format: Literal[1] = 1
    name: str
    versions: Annotated[
        tuple[Annotated[str, Field(pattern=DIGEST_PATTERN)], ...],
        Field(min_length=1, max_length=MAX_VERSIONS),
    ]


class Refs:
    """The names of a folder. Who writes or removes holds its lock."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder, self._files = folder, folder.files
        self.root = folder.root / "refs"

    def path(self, name: str) -> Path:
        """Where a name's file lies; of a malformed name a ConfigError says so."""
        return self.root / f"{check_name(name)}{_REF_SUFFIX}"

    def read(self, name: str) -> tuple[Digest, ...]:
        """Digests of a name's versions, from version 1 on; none if there is no such name.

        Raises:
            IntegrityError: its file is damaged.
        """
        path = self.path(name)
        try:
            data = read_bounded(path, limit=_MAX_REF_BYTES, what="ref", files=self._files)
            ref = _RefFile.model_validate_json(data)
        except errors.MissingFileError:
            return ()
        except (errors.FormatError, ValidationError) as error:
            raise errors.IntegrityError(f"the file {path} of name {name!r} is damaged.") from error
        if ref.name != name:
            raise errors.IntegrityError(f"the file {path} is that of name {ref.name[:64]!r}.")
        return ref.versions

    def write(self, name: str, versions: Sequence[Digest]) -> None:
        """Replace a name's versions in one step, durably.

        Raises:
            ConfigError: over 10,000 versions.
        """
        if len(versions) > MAX_VERSIONS:
            raise errors.ConfigError(
                f"name {name!r} has {MAX_VERSIONS} versions, no more are kept. Choose another name."
            )
        ref = _RefFile(name=name, versions=tuple(versions))
        text = canonical_json(ref.model_dump(mode="json"))
        write_atomic(self.path(name), text.encode(), files=self._files)

    def settle(self) -> None:
        """Make durable what a killed process may have left without its last sync."""
        with writing(self.root):
            self._files.fsync_folder(self.root)

    def has(self, name: str) -> bool:
        """Whether a name is there, its file good or not."""
        path = self.path(name)
        with reading(path, "ref"):
            return self._files.is_file(path)

    def names(self) -> tuple[str, ...]:
        """All names, sorted; their files may still be damaged."""
        return tuple(filter(None, map(self.name_of, self._folder.names(self.root))))

    @staticmethod
    def name_of(file: str) -> str:
        """The name whose file is called so; empty where it is none."""
        name = file.removesuffix(_REF_SUFFIX)
        try:
            return "" if name == file else check_name(name)
        except errors.ConfigError:
            return ""


MAX_NAME = 64
MIN_PREFIX = 8

RESERVED = frozenset({"active", "bundled", "none"})
"""Words that stand for a patch set or a model where a patch's name could stand."""

_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(DIGEST_PATTERN)
_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},64}}")
_VERSION = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Reference:
    """What a caller named: a name, perhaps with its version, or a digest's first digits.

    Attributes:
        name: empty where a digest was given.
        version: from 1 on; None for the latest.
        prefix: 8 to 64 hexadecimal digits; empty where a name was given.
    """

    name: str = ""
    version: int | None = None
    prefix: Digest = ""


def check_name(name: str) -> str:
    """Return a name that may be published.

    Raises:
        ConfigError: it does not match the pattern, is over 64 characters, is reserved, or looks
            like a digest.
    """
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise errors.ConfigError(
            f"{_short(name)} is not a patch name: lower-case letters and digits in words joined by "
            f"single '_', '.' or '-', a letter first, at most {MAX_NAME} characters."
        )
    if name in RESERVED:
        raise errors.ConfigError(
            f"{name!r} has a meaning of its own in patch sets: choose another name."
        )
    if _PREFIX.fullmatch(name):
        raise errors.ConfigError(
            f"{name!r} looks like a digest: choose a name with a letter beyond 'f'."
        )
    return name


def check_digest(digest: str) -> Digest:
    """Return a digest of the one form that is accepted.

    Raises:
        ConfigError: it is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise errors.ConfigError(
            f"{_short(digest)} is not a digest: 64 lower-case hexadecimal digits."
        )
    return digest


def parse_reference(text: str) -> Reference:
    """Read `name`, `name@2`, a digest, or a prefix of at least 8 of its digits.

    Raises:
        ConfigError: it is none of these.
    """
    if _PREFIX.fullmatch(text):
        return Reference(prefix=text)
    name, at, version = text.partition("@")
    if not at:
        return Reference(name=check_name(name))
    if not _VERSION.fullmatch(version):
        raise errors.ConfigError(
            f"{_short(text)}: {_short(version)} is not a version number from 1 on."
        )
    return Reference(name=check_name(name), version=int(version))


def _short(text: str) -> str:
    shown = ascii(text[:60])
    return shown if len(text) <= 60 else f"{shown}... ({len(text)} characters)"
