from collections.abc import Iterator
from pathlib import Path

import pytest

from rwsstore.errors import (
    ConfigError,
    ConflictError,
    FormatError,
    IntegrityError,
    MismatchError,
    ReadOnlyError,
    StorageFullError,
    UnknownPatchError,
)
from rwsstore.runtime import Chosen
from rwsstore_service.engine.errors import DuplicatePatchError, PatchInUseError
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.library import Listing
from rwsstore_service.engine.records import Note
from tests.patches.factory import make_identity, make_test_patch
from tests.service.engine.shelf import OPS, Shelf, make_shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = make_shelf(tmp_path, bundled=(make_test_patch("fog"), make_test_patch("haze", seed=5)))
    yield made
    made.journal.close()


def listed(shelf: Shelf, wanted: Listing, offset: int = 0, limit: int = 100) -> list[str]:
    page, _ = shelf.library.list(wanted, offset, limit)
    return [f"{one.name}@{one.version}" for one in page]


def activate(shelf: Shelf, digest: str) -> None:
    """A generation in which a patch was on."""
    shelf.journal.append(
        Note(
            actor=OPS, action="replace", subject="tiny", patches=(Chosen("x", digest, 1.0),),
            resolved=(("x", digest, 1.0),), clean_weights="", state_digest="0" * 64,
            previous_digest="",
        )
    )  # fmt: skip


def damage(shelf: Shelf, name: str) -> None:
    digest = shelf.store.resolve(name)
    (path,) = shelf.store.root.rglob(f"{digest}*")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def test_a_list_has_of_each_name_what_it_stands_for(shelf: Shelf) -> None:
    shelf.publish("rain", seed=1)
    shelf.publish("rain", seed=2)
    shelf.publish("snow", seed=3)
    shelf.publish("snow", seed=4, weights="other")
    shelf.publish("sand", seed=6, weights="other")
    assert listed(shelf, Listing()) == ["fog@1", "haze@1", "rain@2", "sand@1", "snow@1"]
    assert listed(shelf, Listing(fits=True)) == ["fog@1", "haze@1", "rain@2", "snow@1"]
    assert listed(shelf, Listing(fits=False)) == ["sand@1"]
    assert listed(shelf, Listing(all_versions=True)) == [
        "fog@1", "haze@1", "rain@1", "rain@2", "sand@1", "snow@1", "snow@2",
    ]  # fmt: skip
    assert listed(shelf, Listing(fits=False, all_versions=True)) == ["sand@1", "snow@2"]


def test_a_list_is_narrowed_and_paged(shelf: Shelf) -> None:
    shelf.publish("rain", seed=1, corruption="spatter", bits=4)
    shelf.library.compose("both", [Choice("fog", 1.0), Choice("rain", 0.5)], OPS)
    assert listed(shelf, Listing(corruption="spatter")) == ["rain@1"]
    assert listed(shelf, Listing(bits=8)) == ["fog@1", "haze@1"]
    assert listed(shelf, Listing(kind="composed")) == ["both@1"]
    assert listed(shelf, Listing(kind="rws", corruption="snow")) == []
    assert listed(shelf, Listing(), offset=1, limit=2) == ["fog@1", "haze@1"]
    assert shelf.library.list(Listing(), 3, 10)[1] == 4
    assert shelf.library.list(Listing(), 9, 10) == ((), 4)


def test_a_list_is_sorted_by_what_is_touched_or_taken(shelf: Shelf) -> None:
    shelf.publish("rain", seed=1, bits=4)
    shelf.publish("rain", seed=2, bits=16)
    shelf.library.compose("both", [Choice("fog", 1.0), Choice("rain", 0.5)], OPS)
    names = ["both@1", "fog@1", "haze@1", "rain@2"]
    assert listed(shelf, Listing(sort="touched")) == names
    assert listed(shelf, Listing(sort="payload")) == names
    every = listed(shelf, Listing(sort="payload", all_versions=True))
    assert every == ["both@1", "rain@1", "fog@1", "haze@1", "rain@2"]
    assert listed(shelf, Listing(sort="payload", all_versions=True), 1, 1) == ["rain@1"]


def test_a_description_says_what_is_touched(shelf: Shelf) -> None:
    shelf.publish("rain", seed=1)
    shelf.library.compose("both", [Choice("fog", 1.0), Choice("rain", 0.5)], OPS)
    assert shelf.library.describe("rain").touched_bytes == 448
    assert shelf.library.describe("both").touched_bytes == 448
    fresh = make_shelf_again(shelf)
    damage(fresh, "rain")
    assert fresh.library.describe("both").touched_bytes is None


def test_one_damaged_patch_does_not_hide_the_others(shelf: Shelf) -> None:
    shelf.publish("rain", seed=1)
    shelf.publish("snow", seed=2)
    assert len(listed(shelf, Listing())) == 4
    fresh = make_shelf_again(shelf)
    damage(shelf, "rain")
    for _ in range(2):
        assert listed(fresh, Listing()) == ["fog@1", "haze@1", "snow@1"]


def make_shelf_again(shelf: Shelf) -> Shelf:
    """The same, as after a restart."""
    shelf.journal.close()
    return make_shelf(shelf.store.root.parent, bundled=(make_test_patch("fog"),))


def test_a_description_says_where_and_what(shelf: Shelf) -> None:
    digest = shelf.publish("rain", seed=1, bits=4)
    found = shelf.library.describe("rain")
    assert (found.name, found.version, found.layer, found.fits) == ("rain", 1, "user", True)
    assert found.digest == digest
    assert found.contents.metadata.bits == 4
    assert found.contents.file_bytes == len(shelf.store.read(digest)) > found.contents.payload_bytes
    assert found.parts == ()
    assert shelf.library.describe("fog").layer == "bundled"


def test_a_description_by_digest_version_and_of_other_weights(shelf: Shelf) -> None:
    first = shelf.publish("rain", seed=1)
    other = shelf.publish("rain", seed=2, weights="other")
    assert shelf.library.describe(first[:12]).version == 1
    assert shelf.library.describe(other).fits is False
    assert shelf.library.describe("rain@2").digest == other
    assert shelf.library.describe("rain").digest == first
    for name in ("smog", "rain@3", "0" * 64):
        with pytest.raises(UnknownPatchError):
            shelf.library.describe(name)


def test_what_no_name_reaches_has_no_version(shelf: Shelf) -> None:
    digest = shelf.publish("rain", seed=1)
    shelf.store.remove("rain")
    found = shelf.library.describe(digest)
    assert (found.name, found.version) == ("rain", None)


def test_content_is_the_file(shelf: Shelf) -> None:
    patch = make_test_patch("rain", seed=1)
    shelf.library.publish(patch.to_bytes(), OPS)
    assert shelf.library.content("rain") == (patch.digest, patch.to_bytes())
    damage(shelf, "rain")
    with pytest.raises(IntegrityError):
        shelf.library.content("rain")


def test_publishing_is_written_down(shelf: Shelf) -> None:
    patch = make_test_patch("rain", seed=1)
    found = shelf.library.publish(patch.to_bytes(), OPS, name="drizzle")
    assert (found.name, found.version, found.digest) == ("drizzle", 1, patch.digest)
    (record,) = shelf.journal.records(limit=9)
    assert (record.action, record.subject, record.actor) == ("publish", "drizzle@1", OPS)
    assert (record.generation, record.patches[0].digest) == (None, patch.digest)


def test_the_same_patch_again_is_a_duplicate(shelf: Shelf) -> None:
    data = make_test_patch("rain", seed=1).to_bytes()
    first = shelf.library.publish(data, OPS)
    with pytest.raises(DuplicatePatchError) as caught:
        shelf.library.publish(data, OPS)
    error = caught.value
    assert error.members == {"digest": first.digest, "name": "rain", "version": 1}
    assert len(shelf.journal.records(limit=9)) == 1
    shelf.library.publish(make_test_patch("rain", seed=2).to_bytes(), OPS)
    assert shelf.library.publish(data, OPS).version == 3


def test_a_version_can_be_expected(shelf: Shelf) -> None:
    def publish(seed: int, expected: int) -> int | None:
        data = make_test_patch("rain", seed=seed).to_bytes()
        return shelf.library.publish(data, OPS, expected=expected).version

    assert publish(1, 0) == 1
    for wrong in (0, 2):
        with pytest.raises(ConflictError):
            publish(2, wrong)
    assert publish(2, 1) == 2


@pytest.mark.parametrize("name", ["none", "active", "bundled", "../fog", "Fog", "deadbeef", ""])
def test_names_that_are_not_allowed(shelf: Shelf, name: str) -> None:
    with pytest.raises(ConfigError):
        shelf.library.publish(make_test_patch("rain").to_bytes(), OPS, name=name)
    with pytest.raises(ConfigError):
        shelf.library.compose(name, [Choice("fog", 1.0)], OPS)
    assert shelf.journal.records(limit=1) == ()


def test_what_is_no_patch_is_not_stored(shelf: Shelf) -> None:
    data = make_test_patch("rain").to_bytes()
    for bad in (b"", b"{}", data[:-1], data + b"x"):
        with pytest.raises(FormatError):
            shelf.library.publish(bad, OPS)
    assert shelf.store.list() == shelf.base.list()


def test_a_composition_names_its_parts(shelf: Shelf) -> None:
    rain = shelf.publish("rain", seed=1)
    found = shelf.library.compose("both", [Choice("rain", 0.5), Choice("fog")], OPS)
    assert (found.name, found.version, found.fits) == ("both", 1, True)
    assert set(found.parts) == {("rain", rain, 0.5), ("fog", shelf.base.resolve("fog"), 1.0)}
    assert shelf.journal.records(limit=1)[0].action == "compose"
    with pytest.raises(DuplicatePatchError):
        shelf.library.compose("both", [Choice("fog"), Choice("rain", 0.5)], OPS)


def test_compositions_that_cannot_be(shelf: Shelf) -> None:
    shelf.publish("sand", seed=1, weights="other")
    with pytest.raises(MismatchError):
        shelf.library.compose("both", [Choice("fog"), Choice("sand")], OPS)
    with pytest.raises(UnknownPatchError):
        shelf.library.compose("both", [Choice("smog")], OPS)
    with pytest.raises(ConfigError, match="no part"):
        shelf.library.compose("both", [Choice("fog", 0)], OPS)
    with pytest.raises(ConfigError, match="alpha"):
        shelf.library.compose("both", [Choice("fog", 3.0)], OPS)
    assert shelf.journal.records(limit=1) == ()


def test_deleting_takes_all_versions_and_their_bytes(shelf: Shelf) -> None:
    digests = [shelf.publish("rain", seed=seed) for seed in (1, 2)]
    shelf.library.delete("rain", OPS, active=())
    assert not any(shelf.store.has(digest) for digest in digests)
    (record,) = shelf.journal.records(limit=9)
    assert (record.action, record.subject) == ("delete", "rain@2")
    with pytest.raises(UnknownPatchError):
        shelf.library.delete("rain", OPS, active=())


def test_nothing_is_deleted_without_a_record(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = shelf.publish("rain", seed=1)
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "append", full)
        with pytest.raises(StorageFullError):
            shelf.library.delete("rain", OPS, active=())
    assert shelf.store.resolve("rain") == digest


def test_another_patch_that_is_damaged_hinders_no_deletion(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.publish("rain", seed=1)
    shelf.publish("snow", seed=2)
    damage(shelf, "snow")
    shelf.library.delete("rain", OPS, active=())
    assert "the bytes of rain stay" in caplog.text
    with pytest.raises(UnknownPatchError):
        shelf.store.resolve("rain")


def test_what_is_on_stays(shelf: Shelf) -> None:
    digest = shelf.publish("rain", seed=1)
    shelf.publish("rain", seed=2)
    with pytest.raises(PatchInUseError, match="active"):
        shelf.library.delete("rain", OPS, active={digest})
    assert len(shelf.store.history("rain")) == 2


def test_what_the_history_names_stays(shelf: Shelf) -> None:
    digest = shelf.publish("rain", seed=1)
    shelf.publish("rain", seed=2)
    activate(shelf, digest)
    with pytest.raises(PatchInUseError, match="generation 1"):
        shelf.library.delete("rain", OPS, active=())
    assert shelf.store.has(digest)


def test_the_parts_of_a_composed_patch_outlive_their_names(shelf: Shelf) -> None:
    rain = shelf.publish("rain", seed=1)
    shelf.library.compose("both", [Choice("rain"), Choice("fog")], OPS)
    shelf.library.delete("rain", OPS, active=())
    assert shelf.store.has(rain)
    assert shelf.library.describe("both").parts[0][0] in ("rain", "fog")
    shelf.library.delete("both", OPS, active=())
    assert not shelf.store.has(rain)


def test_what_comes_with_the_package_stays(shelf: Shelf) -> None:
    with pytest.raises(ReadOnlyError):
        shelf.library.delete("fog", OPS, active=())
    own = shelf.publish("fog", seed=9)
    shelf.library.delete("fog", OPS, active=())
    assert not shelf.store.has(own)
    assert shelf.library.describe("fog").layer == "bundled"


@pytest.mark.parametrize("name", ["rain@1", "digest"])
def test_only_names_are_deleted(shelf: Shelf, name: str) -> None:
    digest = shelf.publish("rain", seed=1)
    with pytest.raises(ConfigError, match="not a name"):
        shelf.library.delete(digest if name == "digest" else name, OPS, active=())
    assert shelf.store.has(digest)


def full(*_given: object, **_named: object) -> None:
    raise StorageFullError("no space")


def test_a_full_disk_is_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(StorageFullError):
        shelf.library.publish(make_test_patch("rain", seed=1).to_bytes(), OPS)
    with pytest.raises(StorageFullError):
        shelf.library.compose("weather", [Choice("fog"), Choice("haze")], OPS)
    assert listed(shelf, Listing()) == ["fog@1", "haze@1"]  # nothing appears without a record
    assert shelf.library.describe("fog").contents.metadata.clean_weights == (
        make_identity().clean_weights
    )
