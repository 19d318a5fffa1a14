import errno
import os
import stat
from pathlib import Path

import pytest

from rwsstore.errors import MissingFileError, StorageFullError
from rwsstore.files import is_temporary, remove_temporaries, staged_file, staged_folder


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"old")
    with staged_file(path) as stream:
        stream.write(b"new ")
        stream.write(b"content")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "set"
    with staged_folder(path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "1.txt").write_text("x")
        assert not path.exists()
    assert (path / "a" / "1.txt").read_text() == "x"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_nothing_is_left_when_the_block_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def write_half_a_file() -> None:
        with staged_file(path) as stream:
            stream.write(b"half")
            raise error

    def make_half_a_folder() -> None:
        with staged_folder(tmp_path / "set") as folder:
            (folder / "half").write_bytes(b"half")
            raise error

    for act in (write_half_a_file, make_half_a_folder):
        with pytest.raises(type(error)):
            act()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_said_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFullError), staged_file(tmp_path / "large.bin") as stream:
        stream.write(b"content")
    monkeypatch.setattr(os, "sync", fail)
    with pytest.raises(StorageFullError), staged_folder(tmp_path / "set"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_above_must_exist(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError), staged_file(tmp_path / "no" / "file"):
        pass
    with pytest.raises(MissingFileError), staged_folder(tmp_path / "no" / "folder"):
        pass


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    left, folder, kept = (tmp_path / name for name in (".rws-1.tmp", ".rws-2.tmp", "kept.tmp"))
    left.write_bytes(b"half")
    folder.mkdir()
    (folder / "half").write_bytes(b"half")
    kept.write_bytes(b"mine")
    assert is_temporary(left.name)
    remove_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]
