"""A user's store over a bundled one that cannot be written."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import pytest

from rwsstore.errors import ConfigError, IntegrityError, ReadOnlyError, UnknownPatchError
from rwsstore.files import OsFiles
from rwsstore.store import Published, Store
from rwsstore.store.records import Version
from tests.store.helpers import composed, patch


@pytest.fixture
def bundled(tmp_path: Path) -> Iterator[Path]:
    """A store in a folder without any permission to write, with fog and frost."""
    root = tmp_path / "bundled"
    maker = Store(root)
    for each in (patch(0), patch(1, "frost")):
        maker.publish(each)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


@pytest.fixture
def store(tmp_path: Path, bundled: Path) -> Store:
    return Store(tmp_path / "user", base=Store(bundled, read_only=True))


def names(store: Store) -> list[tuple[str, int, str]]:
    return [(entry.name, entry.version, entry.layer) for entry in store.list(all_versions=True)]


def test_reading_falls_through(store: Store) -> None:
    assert names(store) == [("fog", 1, "bundled"), ("frost", 1, "bundled")]
    assert store.get("fog").digest == patch(0).digest
    assert store.resolve(patch(0).digest[:8]) == patch(0).digest
    assert store.has(patch(0).digest)
    assert store.verify("frost@1") == patch(1, "frost").digest
    assert store.history("fog") == (Version("fog", 1, patch(0).digest, "bundled"),)
    assert store.fsck().clean
    assert store.fsck().objects == 2
    assert not store.root.exists()


def test_nothing_is_ever_written_to_the_base(store: Store, bundled: Path) -> None:
    before = sorted(path for path in bundled.rglob("*"))
    store.list()
    store.publish(patch(2))
    store.publish(patch(2), name="frost")
    store.gc()
    store.fsck(repair=True)
    assert sorted(path for path in bundled.rglob("*")) == before
    assert not (bundled / "index.jsonl").exists()


def test_a_mark_tells_of_every_change_of_a_names_meaning(store: Store) -> None:
    bundled = store.mark("fog")
    assert bundled == store.mark("fog")
    assert store.mark("smog") == (None, None)
    store.publish(patch(2))
    own = store.mark("fog")
    assert len(own) == 1  # what it hides does not matter
    assert own != bundled
    store.publish(patch(3))
    assert store.mark("fog") not in (bundled, own)
    store.remove("fog")
    assert store.mark("fog") == bundled


def test_a_base_is_opened_read_only(tmp_path: Path, bundled: Path) -> None:
    with pytest.raises(ConfigError, match="read_only=True"):
        Store(tmp_path / "user", base=Store(bundled))


def test_publishing_what_is_bundled_already_changes_nothing(store: Store) -> None:
    assert store.publish(patch(0)) == Published(patch(0).digest, "fog", 1, created=False)
    assert names(store) == [("fog", 1, "bundled"), ("frost", 1, "bundled")]


def test_a_new_version_continues_the_bundled_ones(store: Store) -> None:
    assert store.publish(patch(2), expected=1).version == 2
    assert names(store) == [("fog", 1, "user"), ("fog", 2, "user"), ("frost", 1, "bundled")]
    assert store.resolve("fog@1") == patch(0).digest
    assert store.resolve("fog") == patch(2).digest
    assert [entry.name for entry in store.list(bits=8)] == ["fog", "frost"]


def test_a_hidden_name_stays_hidden_whatever_the_filter(store: Store) -> None:
    store.publish(patch(1, "frost").at_bits(4), name="fog")
    assert [entry.name for entry in store.list(bits=8)] == ["frost"]


def test_the_user_s_layer_stands_alone(store: Store, tmp_path: Path) -> None:
    """An upgrade may replace the bundled patches by others."""
    store.publish(patch(2))
    store.publish(patch(1))
    store.publish(patch(3, "snow"))
    both = store.publish(composed())
    alone = Store(tmp_path / "user")
    assert alone.fsck().findings == ()
    assert alone.resolve("fog@1") == patch(0).digest
    assert alone.verify(both.digest) == composed().digest


def test_a_composed_patch_takes_bundled_parts_along(store: Store, tmp_path: Path) -> None:
    store.publish(patch(1), name="other")
    assert not Store(tmp_path / "user").has(patch(0).digest)
    store.publish(composed())
    assert Store(tmp_path / "user").verify("both") == composed().digest


def test_removing_uncovers_the_bundled_name(store: Store) -> None:
    store.publish(patch(2))
    store.remove("fog")
    assert store.resolve("fog") == patch(0).digest
    assert names(store)[0] == ("fog", 1, "bundled")


def test_a_bundled_name_cannot_be_removed(store: Store) -> None:
    with pytest.raises(ReadOnlyError, match="'fog' lies in a read-only layer"):
        store.remove("fog")
    with pytest.raises(UnknownPatchError):
        store.remove("snow")


def test_a_damaged_bundled_object_is_refused_and_left_where_it_is(
    store: Store, bundled: Path
) -> None:
    path = bundled / "objects" / patch(0).digest[:2] / f"{patch(0).digest}.safetensors"
    path.write_bytes(b"x")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="read-only layer: install that again"):
            store.get("fog")
    report = store.fsck(repair=True)
    assert {(f.problem, f.layer, f.repaired) for f in report.findings} == {
        ("damaged object", "bundled", False),
        ("missing object", "bundled", False),
    }
    assert not report.clean
    assert path.exists()


def test_a_good_copy_above_a_damaged_one_is_served(store: Store, bundled: Path) -> None:
    store.publish(patch(2))  # takes fog@1 along
    path = bundled / "objects" / patch(0).digest[:2] / f"{patch(0).digest}.safetensors"
    path.write_bytes(b"x")
    assert store.get("fog@1").digest == patch(0).digest


def test_the_layer_underneath_stands_in_for_an_object_that_is_lost(store: Store) -> None:
    store.publish(patch(2))  # takes fog@1 along
    digest = patch(0).digest
    (store.root / "objects" / digest[:2] / f"{digest}.safetensors").unlink()
    assert store.get("fog@1").digest == digest
    assert store.fsck().findings == ()


def test_a_base_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "user", base=Store(tmp_path / "none", read_only=True))
    assert store.list() == ()
    assert store.fsck().findings == ()
    store.publish(patch(0))
    assert names(store) == [("fog", 1, "user")]


def test_three_layers(tmp_path: Path, bundled: Path) -> None:
    middle = tmp_path / "site"
    shutil.copytree(bundled, middle)
    for folder in (middle, *(path for path in middle.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    Store(middle).publish(patch(2))
    site = Store(middle, base=Store(bundled, read_only=True), read_only=True)
    store = Store(tmp_path / "user", base=site)
    assert store.resolve("fog") == patch(2).digest
    assert names(store) == [("fog", 1, "bundled"), ("fog", 2, "bundled"), ("frost", 1, "bundled")]


class Denied(OsFiles):
    """A folder where this user may read and nothing else, whoever runs the test."""

    def _deny(self, path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def create(self, path: Path, data: bytes) -> None:
        self._deny(path)

    def make_folder(self, path: Path) -> None:
        self._deny(path)

    def rename(self, source: Path, target: Path) -> None:
        self._deny(target)

    def lock(self, path: Path, timeout: float) -> AbstractContextManager[None]:
        self._deny(path)


def test_a_user_s_folder_without_permission(bundled: Path) -> None:
    store = Store(bundled, files=Denied())
    for write in (
        lambda: store.publish(patch(2)),
        lambda: store.remove("fog"),
        lambda: store.gc(),
        lambda: Store(bundled / "below", files=Denied()).publish(patch(2)),
    ):
        with pytest.raises(ReadOnlyError):
            write()
    assert [entry.name for entry in store.list()] == ["fog", "frost"]
    assert store.get("fog").digest == patch(0).digest
