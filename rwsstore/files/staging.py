"""Files too large for memory, and folders of files, that appear whole or not at all.

What `write_atomic` does for bytes in memory, these do for what is written piece by piece: under a
temporary name first, synced, then renamed.
"""

__all__ = ["remove_temporaries", "staged_file", "staged_folder"]

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rwsstore.files.atomic import is_temporary, temporary_beside
from rwsstore.files.failures import writing
from rwsstore.files.layer import FILE_MODE, OS_FILES


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
