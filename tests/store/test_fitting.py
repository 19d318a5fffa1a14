"""A name that patches of several models share stands for the one that fits."""

from pathlib import Path

import pytest

from rwsstore.errors import IntegrityError, UnknownPatchError
from rwsstore.files import OsFiles
from rwsstore.patches import Patch
from rwsstore.store import FittingStore, Store
from tests.patches.factory import make_identity, make_test_patch

OURS, THEIRS = make_identity("clean"), make_identity("other")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """fog of our model beneath; two of ours and one of theirs published over it."""
    base = Store(tmp_path / "base")
    base.publish(make_test_patch("fog", seed=0))
    base.publish(make_test_patch("snow", seed=9, corruption="snow"))
    over = Store(tmp_path / "over", base=Store(tmp_path / "base", read_only=True))
    over.publish(make_test_patch("fog", seed=1))
    over.publish(make_test_patch("fog", seed=2, weights="other"))
    return over


def test_a_name_stands_for_the_newest_version_of_the_model(store: Store) -> None:
    assert FittingStore(store, OURS).get("fog").digest == make_test_patch("fog", seed=1).digest
    theirs = make_test_patch("fog", seed=2, weights="other").digest
    assert FittingStore(store, THEIRS).get("fog").digest == theirs
    assert store.get("fog").digest == theirs


def test_versions_and_digests_mean_what_they_mean_in_the_store(store: Store) -> None:
    ours, third = FittingStore(store, OURS), store.resolve("fog@3")
    assert ours.resolve("fog@3") == third
    assert ours.resolve(third) == third
    assert ours.resolve(third[:12]) == third
    assert ours.resolve("fog@1") == make_test_patch("fog", seed=0).digest


def test_a_name_without_a_fitting_version_stands_for_its_latest(store: Store) -> None:
    assert FittingStore(store, THEIRS).resolve("snow") == store.resolve("snow")
    with pytest.raises(UnknownPatchError):
        FittingStore(store, THEIRS).resolve("nothing")


def test_the_list_has_each_name_once_at_its_fitting_version(store: Store) -> None:
    ours = FittingStore(store, OURS)
    assert [(one.name, one.version) for one in ours.list()] == [("fog", 2), ("snow", 1)]
    assert [one.name for one in ours.list(kind="rws", corruption="snow")] == ["snow"]
    assert ours.list(kind="clat") == ()
    found = [(one.name, one.version) for one in FittingStore(store, THEIRS).list()]
    assert found == [("fog", 3)]


class Counted(OsFiles):
    """Notes which objects are read."""

    def __init__(self) -> None:
        self.objects: list[str] = []

    def read(self, path: Path, limit: int) -> bytes:
        if path.suffix == ".safetensors":
            self.objects.append(path.stem)
        return super().read(path, limit)


def counted(tmp_path: Path, *patches: Patch) -> tuple[FittingStore, Counted]:
    files = Counted()
    store = Store(tmp_path / "store", files=files)
    for patch in patches:
        store.publish(patch)
    files.objects.clear()
    return FittingStore(store, OURS), files


def test_what_was_read_to_learn_of_it_is_not_read_again(tmp_path: Path) -> None:
    fog = make_test_patch("fog", seed=1)
    theirs = make_test_patch("fog", seed=2, weights="other")
    fitting, files = counted(tmp_path, fog, theirs)
    assert fitting.resolve("fog") == fog.digest
    assert fitting.describe(fog.digest).metadata.name == "fog"
    assert fitting.get("fog").digest == fog.digest
    assert files.objects == [theirs.digest, fog.digest]


def test_every_other_read_is_of_the_file(tmp_path: Path) -> None:
    fog = make_test_patch("fog", seed=1)
    fitting, files = counted(tmp_path, fog)
    fitting.get("fog")
    fitting.get(fog.digest)
    assert files.objects == [fog.digest] * 2
    (file,) = tmp_path.rglob(f"{fog.digest}*")
    file.write_bytes(b"damaged")
    assert fitting.describe(fog.digest).file_bytes == len(fog.data)
    with pytest.raises(IntegrityError):
        fitting.get("fog")


def test_so_many_bytes_wait_and_the_last_one_at_any_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = [make_test_patch(name, seed=n) for n, name in enumerate(("fog", "rain", "snow"))]
    digests = [patch.digest for patch in patches]
    two = sum(len(patch.data) for patch in patches[1:])
    for room, again in ((two, digests[:1]), (1, digests[:2])):
        monkeypatch.setattr("rwsstore.store.store._AHEAD_BYTES", room)
        fitting, files = counted(tmp_path, *patches)
        for turn in (fitting.resolve, fitting.get):
            for name in ("fog", "rain", "snow"):
                turn(name)
        assert files.objects == digests + again


def test_only_so_many_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rwsstore.store.store._LEARNT", 1)
    fog, rain = make_test_patch("fog", seed=1), make_test_patch("rain", seed=2)
    fitting, files = counted(tmp_path, fog, rain)
    for digest in (fog.digest, fog.digest, rain.digest, fog.digest):
        fitting.describe(digest)
    assert files.objects == [fog.digest, rain.digest, fog.digest]
