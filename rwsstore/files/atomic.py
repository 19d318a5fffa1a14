"""Writing a file whole or not at all, and reading one within a bound."""

__all__ = [
    "is_temporary",
    "make_folders",
    "read_bounded",
    "temporary_beside",
    "write_atomic",
]

import secrets
from contextlib import suppress
from pathlib import Path

from rwsstore.errors import FormatError
from rwsstore.files.failures import reading, writing
from rwsstore.files.layer import OS_FILES, FileLayer

_PREFIX = ".rws-"
_SUFFIX = ".tmp"


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `write_atomic` gives to its temporary files."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def temporary_beside(path: Path) -> Path:
    """A new temporary name in the folder of `path`."""
    return path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")


def write_atomic(path: Path, data: bytes, *, files: FileLayer = OS_FILES) -> None:
    """Write a file so that, whatever happens, the old content or the new one is there.

    A temporary file in the same folder is written, given mode 0644 and synced, then renamed over
    `path`, then the folder is synced: when this returns, content and name are durable. On an
    error before the rename, `path` is untouched and the temporary file removed; on one after it
    (the folder could not be synced) the new content is in place, but may not survive a crash.

    Raises:
        StorageFullError: no space or quota left, or the device failed.
        ReadOnlyError: no permission to write here, or a read-only file system.
        MissingFileError: the folder does not exist.
        StoreError: anything else that the operating system refused.
    """
    temporary = temporary_beside(path)
    with writing(path):
        try:
            files.create(temporary, data)
            files.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                files.unlink(temporary)
            raise
        files.fsync_folder(path.parent)


def make_folders(path: Path, *, files: FileLayer = OS_FILES) -> None:
    """Create a folder and those above it that are missing, each one durable in its parent.

    Raises:
        StorageFullError, ReadOnlyError, StoreError: as `write_atomic`.
    """
    with writing(path):
        if files.is_folder(path):
            return
        if path.parent != path:
            make_folders(path.parent, files=files)
        with suppress(FileExistsError):  # another process was faster
            files.make_folder(path)
        files.fsync_folder(path.parent)


def read_bounded(path: Path, *, limit: int, what: str, files: FileLayer = OS_FILES) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Args:
        path: the file.
        limit: the largest size in bytes that is read; a larger file is refused unread.
        what: what the file is called in messages ("checkpoint").
        files: where to read.

    Raises:
        MissingFileError: no file is there.
        FormatError: it is larger than `limit`, or a folder.
        StoreError: the operating system refused to read it.
    """
    with reading(path, what):
        size = files.size(path)
        if size > limit:
            raise FormatError(f"{what}: {path} is {size} bytes; at most {limit} are read.")
        data = files.read(path, limit)
    if len(data) > limit:
        raise FormatError(f"{what}: {path} is over {limit} bytes; at most that many are read.")
    return data
