"""Files and folders that appear whole or not at all, and the few operations below that.

`write_atomic` does it for bytes in memory, `staged_file` and `staged_folder` for what is written
piece by piece: under a temporary name first, synced, then renamed. What is built on it takes an
`OsFiles`, so that tests can stand a disk in its place that fails, or loses power, at any one of the
operations; their failures become errors of ours.
"""

import errno
import os
import secrets
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import filelock

from rwsstore import errors

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing at `path` into an error of ours.

    Raises:
        StorageFullError: no space or quota left, or the device failed.
        ReadOnlyError: no permission to write here, or a read-only file system.
        MissingFileError: the folder does not exist.
        StoreError: anything else that the operating system refused.
    """
    try:
        yield
    except errors.RwsError:  # some of ours are an OSError too
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise errors.StorageFullError(
                f"cannot write {path}: {_reason(error)}. Free space or check the device, then "
                "retry."
            ) from error
        if error.errno in _READ_ONLY:
            raise errors.ReadOnlyError(
                f"cannot write {path}: {_reason(error)}. Choose a writable folder."
            ) from error
        if error.errno == errno.ENOENT:
            raise errors.MissingFileError(
                f"cannot write {path}: its folder does not exist. Create it first."
            ) from error
        raise errors.StoreError(f"cannot write {path}: {_reason(error)}.") from error


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn an `OSError` while reading `path` into an error of ours.

    Raises:
        MissingFileError: no file is there.
        FormatError: a folder is there.
        StoreError: anything else that the operating system refused.
    """
    try:
        yield
    except errors.RwsError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.MissingFileError(f"{what}: no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise errors.FormatError(f"{what}: {path} is a folder, a file was expected.") from error
    except OSError as error:
        raise errors.StoreError(f"{what}: cannot read {path}: {_reason(error)}.") from error


FILE_MODE = 0o644


class FileMark(NamedTuple):
    """What tells one state of a file or folder from every other, but for changes within one tick.

    Attributes:
        place: device and inode; another file under the same name has others.
        size: in bytes.
        written: when its content was last written, in ns.
        changed: when anything about it last changed, in ns since 1970.
    """

    place: tuple[int, int]
    size: int
    written: int
    changed: int


class OsFiles:
    """The operating system's files. All raise plain `OSError`; none retries or cleans up."""

    def size(self, path: Path) -> int:
        """Size of a file in bytes."""
        return path.stat().st_size

    def mark(self, path: Path) -> FileMark:
        """What changes when a file is written, or replaced by another."""
        found = path.stat()
        return FileMark(
            (found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns, found.st_ctime_ns
        )

    def read(self, path: Path, limit: int) -> bytes:
        """The first `limit + 1` bytes of a file, or all of a shorter one; never waits on a pipe."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(limit + 1)

    def create(self, path: Path, data: bytes) -> None:
        """Create a new file, write all of `data`, set mode 0644 and sync the content.

        The content is durable afterwards, the name is not: that needs `fsync_folder`. All on one
        descriptor: an error of the device that comes late is reported to the one that wrote.

        Raises:
            FileExistsError: the name is taken.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, FILE_MODE)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def fsync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file over `target` in one step, replacing what is there."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Create one folder; its parent exists, it itself does not."""
        path.mkdir()

    def names(self, path: Path) -> tuple[str, ...]:
        """The names in a folder, sorted."""
        return tuple(sorted(os.listdir(path)))  # noqa: PTH208 - names are wanted, not paths

    def is_file(self, path: Path) -> bool:
        """Whether a regular file is there."""
        return path.is_file()

    def is_folder(self, path: Path) -> bool:
        """Whether a folder is there."""
        return path.is_dir()

    def lock(self, path: Path, timeout: float) -> AbstractContextManager[object]:
        """Hold an exclusive lock (flock), shared by all threads and processes that name this file.

        It does not work across network file systems.

        Args:
            path: the lock file, created when missing; its folder exists.
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: somebody else held the lock all the time.
        """
        # A new object each time: one `FileLock` is re-entrant and would let two threads in. Its
        # Timeout is a TimeoutError.
        return filelock.FileLock(path, timeout=timeout)


OS_FILES = OsFiles()
"""The real files."""


_PREFIX = ".rws-"
_SUFFIX = ".tmp"
_LARGEST_CONFIGURATION = 2**20


def is_temporary(name: str) -> bool:
    """Whether a file name is one that is given to temporary files here."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


@contextmanager
def _replaced(path: Path, files: OsFiles, discard: Callable[[Path], object]) -> Iterator[Path]:
    """Give a temporary name beside `path`; what is written there takes its place at the end."""
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    with writing(path):
        try:
            yield temporary
            files.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                discard(temporary)
            raise
        files.fsync_folder(path.parent)


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
    with _replaced(path, files, files.unlink) as temporary:
        files.create(temporary, data)


def make_folders(path: Path, *, files: OsFiles = OS_FILES) -> None:
    """Create a folder and those above it that are missing, each one durable in its parent."""
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
            raise errors.FormatError(f"{what}: {path} is {size} bytes; at most {limit} are read.")
        data = files.read(path, limit)
    if len(data) > limit:
        raise errors.FormatError(
            f"{what}: {path} is over {limit} bytes; at most that many are read."
        )
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
        raise errors.FormatError(f"{path} is not TOML: {error}") from None


@contextmanager
def staged_file(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes `path` when the block ends without an error.

    Until then `path` stays as it is. The temporary file lies in the same folder, which exists. It
    raises what `write_atomic` does.
    """
    with _replaced(path, OS_FILES, OS_FILES.unlink) as temporary, temporary.open("xb") as stream:
        yield stream
        stream.flush()
        os.fchmod(stream.fileno(), FILE_MODE)
        os.fsync(stream.fileno())


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Make a folder that becomes `path` when the block ends without an error.

    All file systems are synced once before the rename: with thousands of small files, a sync each
    would take longer than making them.

    Args:
        path: does not exist, or is an empty folder; its parent exists.

    Raises:
        StoreError: as `write_atomic`.
    """
    with _replaced(path, OS_FILES, partial(shutil.rmtree, ignore_errors=True)) as temporary:
        temporary.mkdir()
        yield temporary
        os.sync()


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody may be writing there now."""
    with writing(folder):
        for name in OS_FILES.names(folder):
            if is_temporary(name):
                leftover = folder / name
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
