"""The folder of a store: what lies where in it, how it comes into being, and which names it takes.

::

    store.json                        this is a store, of format 1
    objects/ab/ab12….safetensors      patches, named by the SHA-256 of their bytes
    refs/fog.json                     a name's versions
    quarantine/                       what turned out to be damaged
    index.sqlite                      disposable
    lock                              held while something is written
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, ValidationError

from rwsstore.canonical import DIGEST_PATTERN, Digest, canonical_json
from rwsstore.config import Frozen
from rwsstore.errors import ConfigError, IntegrityError, MissingFileError, StoreError
from rwsstore.files import OsFiles, is_temporary, make_folders, read_bounded, write_atomic
from rwsstore.files.layer import reading, writing
from rwsstore.patches import NAME_PATTERN

STORE_VARIABLE = "RWS_STORE"
"""The environment variable that names another folder."""


def default_store_path() -> Path:
    """The folder in `RWS_STORE`, else `rwsstore/store` in the platform's data directory.

    Nothing is created. The variable is read each time.
    """
    told = os.environ.get(STORE_VARIABLE, "")
    if told:
        return Path(told).expanduser().absolute()
    return platformdirs.user_data_path("rwsstore", appauthor=False) / "store"


LOCK_TIMEOUT = 60.0
"""Seconds to wait for another writer before giving up."""

_NAMES = frozenset({"store.json", "objects", "refs", "quarantine", "index.sqlite", "lock"})


class _Marker(Frozen, strict=True):
    format: Annotated[int, Field(ge=1)] = 1
    kind: Literal["rwsstore"] = "rwsstore"


_MARKER = canonical_json(_Marker().model_dump())

_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL})
"""What syncing a folder above the store may answer where we have no business."""


class StorePaths:
    """Paths of one store, its marker and its lock.

    Args:
        root: the folder; need not exist.
        files: where it is.

    Raises:
        StoreError: a newer rwsstore wrote it.
        IntegrityError: its marker is damaged.
    """

    def __init__(self, root: Path, files: OsFiles) -> None:
        self.root = root
        self.files = files
        self.objects = root / "objects"
        self.refs = root / "refs"
        self.quarantine = root / "quarantine"
        self.index = root / "index.sqlite"
        self._marker = root / "store.json"
        self.is_store()

    def is_store(self) -> bool:
        """Whether a store was made here.

        Raises:
            StoreError, IntegrityError: as the constructor.
        """
        try:
            data = read_bounded(self._marker, limit=4096, what="store", files=self.files)
        except MissingFileError:
            return False
        try:
            marker = _Marker.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(f"{self._marker} is damaged. Write {_MARKER} into it.") from error
        if marker.format != 1:
            raise StoreError(
                f"{self.root} is a store of format {marker.format}; this rwsstore reads format 1. "
                "Use a newer rwsstore."
            )
        return True

    @contextmanager
    def locked(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Be the only writer.

        Raises:
            StoreError: another process wrote all the time.
            ReadOnlyError: no permission to write here.
        """
        path = self.root / "lock"
        with ExitStack() as stack:
            with writing(path):
                try:
                    stack.enter_context(self.files.lock(path, timeout))
                except TimeoutError:
                    raise StoreError(
                        f"another process held {path} for over {timeout:g} s. Try again later."
                    ) from None
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Be the only writer of a store whose folders are there, and durable.

        Raises:
            ConfigError: the folder holds other things.
            StoreError, StorageFullError, ReadOnlyError: as `locked` and `make_folders`.
        """
        make_folders(self.root, files=self.files)
        with self.locked():
            if not self.is_store():
                self._create()
            yield

    def _create(self) -> None:
        self._clear()
        make_folders(self.objects, files=self.files)
        make_folders(self.refs, files=self.files)
        # The folders may stem from a process that was killed before it could sync them; once the
        # marker is there, nobody looks at them again.
        with writing(self.root):
            self.files.fsync_folder(self.root)
            for folder in self.root.parents:
                try:
                    self.files.fsync_folder(folder)
                except OSError as error:
                    if error.errno not in _NOT_OURS:
                        raise
        write_atomic(self._marker, _MARKER.encode(), files=self.files)

    def _clear(self) -> None:
        names = self.names(self.root)
        leftovers = [name for name in names if is_temporary(name)]
        foreign = [name for name in names if name not in _NAMES and name not in leftovers]
        if foreign:
            raise ConfigError(
                f"{self.root} is no store, and not empty (it holds {foreign[0]!r}). Choose an "
                "empty folder."
            )
        for name in leftovers:
            self.remove(self.root / name)

    def isolate(self, path: Path) -> Path:
        """Move a damaged file to quarantine, under a name that is free there.

        Raises:
            StorageFullError, ReadOnlyError, StoreError: it could not be moved.
        """
        make_folders(self.quarantine, files=self.files)
        with writing(path):
            taken = set(self.files.names(self.quarantine))
            number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.{n}" not in taken)
            target = self.quarantine / f"{path.name}.{number}"
            self.files.rename(path, target)
            self.files.fsync_folder(self.quarantine)
            self.files.fsync_folder(path.parent)
        return target

    def names(self, folder: Path) -> tuple[str, ...]:
        """Sorted names in a folder; none where it does not exist."""
        try:
            with reading(folder, "store"):
                return self.files.names(folder)
        except MissingFileError:
            return ()

    def remove(self, path: Path) -> None:
        """Remove a file, durably.

        Raises:
            StorageFullError, ReadOnlyError, StoreError: it could not be removed.
        """
        with writing(path):
            self.files.unlink(path)
            self.files.fsync_folder(path.parent)

    def temporaries(self) -> tuple[Path, ...]:
        """Files that writes left behind; under the lock nobody is still writing them."""
        folders = [self.root, self.refs, self.objects]
        folders += [self.objects / name for name in self.names(self.objects)]
        return tuple(
            folder / name
            for folder in folders
            if self.files.is_folder(folder)
            for name in self.names(folder)
            if is_temporary(name)
        )


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
        name: the name; empty where a digest was given.
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
        raise ConfigError(
            f"{_short(name)} is not a patch name: lower-case letters and digits in words joined by "
            f"single '_', '.' or '-', a letter first, at most {MAX_NAME} characters."
        )
    if name in RESERVED:
        raise ConfigError(f"{name!r} has a meaning of its own in patch sets: choose another name.")
    if _PREFIX.fullmatch(name):
        raise ConfigError(f"{name!r} looks like a digest: choose a name with a letter beyond 'f'.")
    return name


def check_digest(digest: str) -> Digest:
    """Return a digest of the one form that is accepted.

    Raises:
        ConfigError: it is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{_short(digest)} is not a digest: 64 lower-case hexadecimal digits.")
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
        raise ConfigError(f"{_short(text)}: {_short(version)} is not a version number from 1 on.")
    return Reference(name=check_name(name), version=int(version))


def _short(text: str) -> str:
    shown = ascii(text[:60])
    return shown if len(text) <= 60 else f"{shown}... ({len(text)} characters)"
