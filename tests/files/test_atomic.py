import errno
import os
from pathlib import Path

import pytest

from rwsstore.errors import (
    FormatError,
    MissingFileError,
    ReadOnlyError,
    RwsError,
    StorageFullError,
    StoreError,
)
from rwsstore.files import OS_FILES, OsFiles, is_temporary, make_folders, read_bounded, write_atomic


class Failing(OsFiles):
    """Real files, but one operation fails, once it has done half of its work where it can."""

    def __init__(self, operation: str, number: int = errno.ENOSPC) -> None:
        self.operation, self.number = operation, number

    def fail(self, operation: str) -> None:
        if operation == self.operation:
            raise OSError(self.number, os.strerror(self.number))

    def create(self, path: Path, data: bytes) -> None:
        if self.operation == "create":
            path.write_bytes(data[: len(data) // 2])
        self.fail("create")
        super().create(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self.fail("rename")
        super().rename(source, target)

    def fsync_folder(self, path: Path) -> None:
        self.fail("fsync_folder")
        super().fsync_folder(path)

    def make_folder(self, path: Path) -> None:
        self.fail("make_folder")
        super().make_folder(path)

    def read(self, path: Path, limit: int) -> bytes:
        self.fail("read")
        return super().read(path, limit)


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    write_atomic(path, b"new content")
    assert path.read_bytes() == b"new content"
    assert OS_FILES.names(tmp_path) == ("a",)


def test_the_file_is_readable_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
    write_atomic(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


def test_the_content_is_durable_before_the_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    synced: list[tuple[int, tuple[str, ...]]] = []

    def noting(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, OS_FILES.names(tmp_path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_atomic(tmp_path / "a", b"content")
    (content, before), (folder, after) = synced
    assert content == (tmp_path / "a").stat().st_ino
    assert "a" not in before
    assert (folder, after) == (tmp_path.stat().st_ino, ("a",))


@pytest.mark.parametrize("operation", ["create", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failed_write_leaves_the_old_state(
    tmp_path: Path, operation: str, number: int, old: bytes | None
) -> None:
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(StorageFullError, match=f"{path}: {os.strerror(number)}") as error:
        write_atomic(path, b"new", files=Failing(operation, number))
    assert isinstance(error.value.__cause__, OSError)
    assert OS_FILES.names(tmp_path) == (() if old is None else ("a",))
    assert old is None or path.read_bytes() == old


def test_a_folder_that_cannot_be_synced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageFullError):
        write_atomic(tmp_path / "a", b"new", files=Failing("fsync_folder", errno.EIO))
    assert OS_FILES.names(tmp_path) == ("a",)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EROFS, ReadOnlyError),
        (errno.EACCES, ReadOnlyError),
        (errno.EPERM, ReadOnlyError),
        (errno.EMFILE, StoreError),
    ],
)
def test_other_errors_keep_their_kind(tmp_path: Path, number: int, kind: type[RwsError]) -> None:
    with pytest.raises(kind) as error:
        write_atomic(tmp_path / "a", b"", files=Failing("create", number))
    assert type(error.value) is kind


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="folder does not exist"):
        write_atomic(tmp_path / "no" / "a", b"")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        write_atomic(tmp_path / "a", b"")
    assert OS_FILES.names(tmp_path) == ("a",)


def test_temporary_names_are_recognised(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(OsFiles):
        def create(self, path: Path, data: bytes) -> None:
            seen.append(path.name)
            super().create(path, data)

    write_atomic(tmp_path / "a", b"", files=Watching())
    write_atomic(tmp_path / "a", b"", files=Watching())
    assert len(set(seen)) == 2
    assert all(map(is_temporary, seen))
    assert not any(map(is_temporary, ["a", ".rws-1", "b.tmp", ""]))


def test_make_folders_creates_all_and_may_repeat(tmp_path: Path) -> None:
    make_folders(tmp_path / "a" / "b" / "c")
    make_folders(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_make_folders_syncs_each_parent(tmp_path: Path) -> None:
    synced: list[Path] = []

    class Watching(OsFiles):
        def fsync_folder(self, path: Path) -> None:
            synced.append(path)
            super().fsync_folder(path)

    make_folders(tmp_path / "a" / "b", files=Watching())
    assert synced == [tmp_path, tmp_path / "a"]


def test_make_folders_over_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StoreError):
        make_folders(tmp_path / "a" / "b")


def test_make_folders_without_space(tmp_path: Path) -> None:
    with pytest.raises(StorageFullError):
        make_folders(tmp_path / "a" / "b", files=Failing("make_folder"))


def test_reads_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", limit=5, what="patch") == b"12345"
    with pytest.raises(FormatError, match=r"patch: .*a is 5 bytes; at most 4 are read"):
        read_bounded(tmp_path / "a", limit=4, what="patch")


def test_an_endless_file_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(FormatError, match="over 1000 bytes"):
        read_bounded(Path("/dev/zero"), limit=1000, what="patch")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    assert read_bounded(tmp_path / "a", limit=5, what="patch") == b""


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="checkpoint: no file"):
        read_bounded(tmp_path / "a", limit=5, what="checkpoint")
    with pytest.raises(FormatError, match="is a folder"):
        read_bounded(tmp_path, limit=1 << 20, what="checkpoint")


def test_a_device_that_fails_while_reading(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(StoreError, match="cannot read"):
        read_bounded(tmp_path / "a", limit=5, what="patch", files=Failing("read", errno.EIO))
