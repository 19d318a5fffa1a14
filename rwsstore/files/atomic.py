"""Files and folders that appear whole or not at all, and reading within a bound.

`write_atomic` does it for bytes in memory, `staged_file` and `staged_folder` for what is written
piece by piece: under a temporary name first, synced, then renamed.
"""

import os
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from rwsstore.errors import FormatError
from rwsstore.files.layer import FILE_MODE, OS_FILES, OsFiles, reading, writing

_PREFIX = ".rws-"
_SUFFIX = ".tmp"
_LARGEST_CONFIGURATION = 2**20


def is_temporary(name: str) -> bool:
    """Whether a file name is one that is given to temporary files here."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def temporary_beside(path: Path) -> Path:
    """A new temporary name in the folder of `path`."""
    return path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")


def write_atomic(path: Path, data: bytes, *, files: OsFiles = OS_FILES) -> None:
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


def make_folders(path: Path, *, files: OsFiles = OS_FILES) -> None:
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


def read_bounded(path: Path, *, limit: int, what: str, files: OsFiles = OS_FILES) -> bytes:
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


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration of at most 1 MiB.

    Raises:
        MissingFileError: there is none.
        FormatError: it is larger, or not TOML.
    """
    data = read_bounded(path, limit=_LARGEST_CONFIGURATION, what="configuration")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} is not TOML: {error}") from None


@contextmanager
def staged_file(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes `path` when the block ends without an error.

    Until then `path` stays as it is. The temporary file lies in the same folder, which exists.

    Raises:
        StorageFullError, ReadOnlyError, MissingFileError, StoreError: as `write_atomic`.
    """
    temporary = temporary_beside(path)
    with writing(path):
        try:
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                os.fchmod(stream.fileno(), FILE_MODE)
                os.fsync(stream.fileno())
            OS_FILES.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        OS_FILES.fsync_folder(path.parent)


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Make a folder that becomes `path` when the block ends without an error.

    All file systems are synced once before the rename: with thousands of small files, a sync each
    would take longer than making them.

    Args:
        path: does not exist, or is an empty folder; its parent exists.

    Raises:
        StorageFullError, ReadOnlyError, MissingFileError, StoreError: as `write_atomic`.
    """
    temporary = temporary_beside(path)
    with writing(path):
        try:
            temporary.mkdir()
            yield temporary
            os.sync()
            OS_FILES.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        OS_FILES.fsync_folder(path.parent)


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody may be writing there now.

    Raises:
        ReadOnlyError, StoreError: it could not be removed.
    """
    with writing(folder):
        for name in OS_FILES.names(folder):
            if is_temporary(name):
                leftover = folder / name
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
