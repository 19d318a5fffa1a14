"""Refs: names, each an atomic file that holds the name's versions."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from rwsstore.canonical import Digest, canonical_json
from rwsstore.config import Frozen
from rwsstore.errors import ConfigError, FormatError, IntegrityError, MissingFileError, RwsError
from rwsstore.files import FileMark, is_temporary, read_bounded, write_atomic
from rwsstore.files.layer import reading, writing
from rwsstore.store.layout import Layout
from rwsstore.store.names import check_name

MAX_VERSIONS = 10_000
"""The most versions that a name may have."""

_MAX_BYTES = 1 << 20
_SUFFIX = ".json"


class _RefFile(Frozen, strict=True):
    format: Literal[1] = 1
    name: str
    versions: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...],
        Field(min_length=1, max_length=MAX_VERSIONS),
    ]


class Refs:
    """The names of one store folder. Who writes or removes holds the store's lock."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = layout.files

    def path(self, name: str) -> Path:
        """Where a name's file lies.

        Raises:
            ConfigError: the name is malformed.
        """
        return self._layout.refs / f"{check_name(name)}{_SUFFIX}"

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
        return tuple(file.removesuffix(_SUFFIX) for file in found if _is_ref(file))

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
        check_name(file.removesuffix(_SUFFIX))
    except ConfigError:
        return False
    return file.endswith(_SUFFIX)
