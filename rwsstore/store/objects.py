"""Objects: files named by the SHA-256 of their exact bytes."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rwsstore.canonical import Digest, sha256_hex
from rwsstore.errors import FormatError, IntegrityError, MissingFileError, UnknownPatchError
from rwsstore.files import is_temporary, make_folders, read_bounded, write_atomic
from rwsstore.files.layer import reading, writing
from rwsstore.patches import MAX_PATCH_BYTES
from rwsstore.store.layout import Layout
from rwsstore.store.names import check_digest

MAX_OBJECT_BYTES = MAX_PATCH_BYTES
"""The largest object that is written or read: 256 MiB."""

_SUFFIX = ".safetensors"


class Objects:
    """The objects of one store folder. Who writes or moves holds the store's lock."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = layout.files

    def path(self, digest: Digest) -> Path:
        """Where an object lies.

        Raises:
            ConfigError: the digest is malformed.
        """
        check_digest(digest)
        return self._layout.objects / digest[:2] / f"{digest}{_SUFFIX}"

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
            path.name.removesuffix(_SUFFIX) for path in self._paths() if self._is_object(path)
        )

    def matching(self, prefix: Digest) -> tuple[Digest, ...]:
        """Digests that begin with at least two digits given, sorted."""
        names = self._layout.names(self._layout.objects / prefix[:2])
        paths = [self._layout.objects / prefix[:2] / name for name in names]
        found = [path.name.removesuffix(_SUFFIX) for path in paths if self._is_object(path)]
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
        digest = path.name.removesuffix(_SUFFIX)
        well_formed = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        return well_formed and path == self.path(digest)
