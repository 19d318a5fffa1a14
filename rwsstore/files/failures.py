"""One table from the operating system's errors to ours."""

__all__ = ["reading", "writing"]

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rwsstore.errors import (
    FormatError,
    MissingFileError,
    ReadOnlyError,
    RwsError,
    StorageFullError,
    StoreError,
)

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
    except RwsError:  # some of ours are an OSError too
        raise
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> Exception:
    if error.errno in _FULL:
        return StorageFullError(
            f"cannot write {path}: {_reason(error)}. Free space or check the device, then retry."
        )
    if error.errno in _READ_ONLY:
        return ReadOnlyError(f"cannot write {path}: {_reason(error)}. Choose a writable folder.")
    if error.errno == errno.ENOENT:
        return MissingFileError(f"cannot write {path}: its folder does not exist. Create it first.")
    return StoreError(f"cannot write {path}: {_reason(error)}.")


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
    except RwsError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{what}: no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise FormatError(f"{what}: {path} is a folder, a file was expected.") from error
    except OSError as error:
        raise StoreError(f"{what}: cannot read {path}: {_reason(error)}.") from error
