import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rwsstore.errors import ConfigError, IntegrityError, RwsError, UnknownPatchError
from rwsstore_service.engine.finding import PatchSetReader
from tests.patches.factory import make_test_patch
from tests.service.engine.shelf import Shelf, make_shelf

TEXTS = ("rain=0.5", "rain", " rain = 1 , fog=0.25", "rain@1=0.5", "fog", "none", "rain=0")
LATER = 6_000_000_000


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = make_shelf(tmp_path, bundled=(make_test_patch("fog"),))
    made.publish("rain", seed=1)
    yield made
    made.journal.close()


@pytest.fixture
def reader(shelf: Shelf) -> PatchSetReader:
    """For which every file has been there for a while."""
    return PatchSetReader(shelf.finder, shelf.store, clock=lambda: time.time_ns() + LATER)


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_read_is_known(shelf: Shelf, reader: PatchSetReader, text: str) -> None:
    assert reader.find(text) is None
    wanted = reader.read(text)
    assert wanted == shelf.finder.read(text)
    assert reader.find(text) == wanted


def test_a_new_version_is_found(shelf: Shelf, reader: PatchSetReader) -> None:
    reader.read("rain=0.5,fog=1")
    newest = shelf.publish("rain", seed=2)
    assert reader.find("rain=0.5,fog=1") is None
    found = reader.read("rain=0.5,fog=1")
    assert found == reader.find("rain=0.5,fog=1")
    assert found is not None
    assert found[0].digest == newest


def test_what_hides_a_bundled_name_is_found(shelf: Shelf, reader: PatchSetReader) -> None:
    bundled = reader.read("fog=1")
    own = shelf.publish("fog", seed=3)
    assert reader.find("fog=1") is None
    found = reader.read("fog=1")
    assert found is not None
    assert found[0].digest == own
    shelf.store.remove("fog")
    assert reader.find("fog=1") is None
    assert reader.read("fog=1") == bundled


def test_what_was_removed_is_not_known(shelf: Shelf, reader: PatchSetReader) -> None:
    reader.read("fog=1,rain=0")
    shelf.store.remove("rain")
    assert reader.find("fog=1,rain=0") is None
    with pytest.raises(UnknownPatchError):
        reader.read("fog=1,rain=0")


def test_a_damaged_name_is_not_known(shelf: Shelf, reader: PatchSetReader) -> None:
    reader.read("rain")
    (file,) = shelf.store.root.glob("refs/rain.json")
    file.write_bytes(b"{")
    assert reader.find("rain") is None
    with pytest.raises(IntegrityError):
        reader.read("rain")


def test_the_same_size_and_time_is_another_file_all_the_same(
    shelf: Shelf, reader: PatchSetReader
) -> None:
    reader.read("rain=1")
    (file,) = shelf.store.root.glob("refs/rain.json")
    before = file.stat()
    other = file.with_name("other.json")
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)
    assert reader.find("rain=1") is None


def test_what_has_just_changed_is_not_kept(shelf: Shelf) -> None:
    reader = PatchSetReader(shelf.finder, shelf.store)
    assert reader.read("rain=1") == shelf.finder.read("rain=1")
    assert reader.find("rain=1") is None


@pytest.mark.parametrize("text", ["digest", "prefix", "active", " active ", "rain=0." + "1" * 600])
def test_what_no_name_tells_is_not_kept(shelf: Shelf, reader: PatchSetReader, text: str) -> None:
    digest = shelf.store.resolve("rain")
    text = {"digest": digest, "prefix": f"{digest[:12]}=1"}.get(text, text)
    assert reader.read(text) == shelf.finder.read(text)
    assert reader.find(text) is None


@pytest.mark.parametrize("text", ["", "smog", "rain,rain", "rain=x", "../x", "rain@9", "a,b,c,d,e"])
def test_what_is_refused_is_refused_again(reader: PatchSetReader, text: str) -> None:
    for _ in range(2):
        with pytest.raises(RwsError):
            reader.read(text)
        assert reader.find(text) is None


def test_a_store_that_cannot_be_looked_at_is_not_trusted(
    shelf: Shelf, reader: PatchSetReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.read("rain=1")

    def fail(_name: str) -> None:
        raise ConfigError("gone")

    monkeypatch.setattr(shelf.store, "mark", fail)
    assert reader.find("rain=1") is None
    assert reader.read("rain=1") == shelf.finder.read("rain=1")


def test_only_so_many_are_kept(reader: PatchSetReader) -> None:
    for number in range(1030):
        reader.read(f"none{' ' * (number % 500)}" if number < 500 else f"rain=0.{number}")
        reader.find("none")  # asked for again and again
    assert reader.find("none") is not None
    assert reader.find("none ") is None
