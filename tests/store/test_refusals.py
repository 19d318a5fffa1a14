"""What the store must refuse, with nothing changed."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rwsstore.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    ReadOnlyError,
    StoreError,
    UnknownPatchError,
)
from rwsstore.files import OsFiles
from rwsstore.patches import Patch
from rwsstore.store import Store, check_name
from rwsstore.store.folder import check_digest
from tests.store.helpers import patch

BAD_NAMES = [
    "",
    ".",
    "..",
    "../fog",
    "fog/../../etc",
    "%2e%2e",
    "%2e%2e%2ffog",
    "/etc/passwd",
    "/",
    "C:\\fog",
    "\\\\host\\fog",
    "~",
    "~root",
    "fog\0",
    "\0",
    "fog\n",
    "\nfog",
    " fog",
    "fog ",
    "Fog",
    "FOG",
    "7fog",
    "_fog",
    "fog_",
    "fog__blur",
    "fog..blur",
    "fog.-blur",
    "fog@1",
    "fog=0.5",
    "fog,blur",
    "fog:1",
    "fog*",
    "-rf",
    ".hidden",
    "ｆｏｇ",  # full-width letters
    "fоg",  # a Cyrillic letter
    "fog\u200b",
    "fo\u0301g",
    "fog٢",  # an Arabic digit
    "\u202egof",
    "\ud800",
    "deadbeef",
    "abcdef12",
    "a" * 64,
    "a" * 65,
    "a" * 1_000_000,
    "none",
    "active",
]

BAD_DIGESTS = [
    "",
    "0" * 63,
    "0" * 65,
    "A" * 64,
    "g" * 64,
    "0" * 63 + "\n",
    "0" * 64 + "\n",
    "../" + "0" * 61,
    "0" * 32 + "/" + "0" * 31,
    "0" * 63 + "\0",
    "0" * 63 + "٢",
    "sha256:" + "0" * 64,
    "0" * 1_000_000,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused_everywhere(store: Store, name: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_name(name)
    assert len(str(error.value)) < 500
    for action in (store.history, store.remove):
        with pytest.raises(ConfigError):
            action(name)
    with pytest.raises(ConfigError):
        store.publish(patch(), name=name)
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["a", "fog", "fog2", "a.b-c_d", "facade", "deadbeefs", "z" * 64])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_malformed_digests_are_refused_everywhere(store: Store, digest: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_digest(digest)
    assert len(str(error.value)) < 500
    for action in (store.read, store.has):
        with pytest.raises(ConfigError):
            action(digest)
    with pytest.raises(ConfigError):
        store.gc(keep=[digest])


@pytest.mark.parametrize(
    "reference",
    [
        *(name for name in BAD_NAMES if name not in ("fog@1", "deadbeef", "abcdef12", "a" * 64)),
        "fog@",
        "fog@0",
        "fog@-1",
        "fog@01",
        "fog@1.0",
        "fog@1@2",
        "fog@٢",
        "fog@1000000",
        "fog@" + "9" * 1_000_000,
        "@1",
        "deadbeef@1",
        "0123456",
        "DEADBEEF",
        "0" * 65,
    ],
)
def test_malformed_references_are_refused(store: Store, reference: str) -> None:
    for action in (store.resolve, store.get, store.verify):
        with pytest.raises(ConfigError) as error:
            action(reference)
        assert len(str(error.value)) < 500


@pytest.mark.parametrize("expected", [-1, True, False])
def test_impossible_expectations_are_refused(store: Store, expected: int) -> None:
    with pytest.raises(ConfigError, match="expected version"):
        store.publish(patch(), expected=expected)
    assert not store.root.exists()


def test_a_patch_that_could_not_be_loaded_again_is_refused(store: Store) -> None:
    good = patch()
    broken = Patch(good.metadata, good.tensors, good.golden, good.to_bytes()[:-1])
    with pytest.raises(FormatError):
        store.publish(broken)
    assert not store.root.exists()


def test_a_patch_that_is_too_large_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rwsstore.store.changes.MAX_OBJECT_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100 are stored"):
        store.publish(patch())
    assert not store.root.exists()


def test_an_object_that_grew_too_large_is_not_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(patch())
    monkeypatch.setattr("rwsstore.store.folder.MAX_OBJECT_BYTES", 100)
    with pytest.raises(IntegrityError, match="at most 100 are read"):
        store.get("fog")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    store = Store(tmp_path)
    with pytest.raises(ConfigError, match=r"not empty \(it holds 'holiday.jpg'\)"):
        store.publish(patch())
    assert not (tmp_path / "objects").exists()


def test_the_objects_of_a_foreign_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "mine").write_bytes(b"")
    store = Store(tmp_path)
    assert store.list() == ()
    assert store.fsck(repair=True).findings == ()
    assert store.gc().removed == ()
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]
    assert (tmp_path / "objects" / "mine").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StoreError):
        Store(tmp_path / "store").publish(patch())


def test_a_store_of_a_newer_format_is_not_touched(store: Store) -> None:
    store.publish(patch())
    (store.root / "store.json").write_text('{"format":2,"kind":"rwsstore"}')
    with pytest.raises(StoreError, match="format 2; this rwsstore reads format 1"):
        Store(store.root)
    with pytest.raises(StoreError, match="format 2"):
        store.publish(patch(1))


def test_a_damaged_marker_is_named(store: Store) -> None:
    store.publish(patch())
    (store.root / "store.json").write_text("{}x")
    with pytest.raises(IntegrityError, match=r"store\.json is damaged. Write \{"):
        Store(store.root)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"format":1,"name":"fog","versions":[]}',
        '{"format":2,"name":"fog","versions":["' + "0" * 64 + '"]}',
        '{"format":1,"name":"frost","versions":["' + "0" * 64 + '"]}',
        '{"format":1,"name":"fog","versions":["' + "0" * 63 + '"]}',
        '{"format":1,"name":"fog","versions":["../../../../etc/passwd"]}',
        '{"format":1,"name":"fog","versions":["' + "0" * 64 + '"],"more":1}',
        '{"format":1,"name":"fog","versions":"' + "0" * 64 + '"}',
        "[" * 100_000,
        " " * (1 << 20) + "{}",
    ],
)
def test_damaged_refs_are_refused(store: Store, content: str) -> None:
    store.publish(patch(0))
    store.publish(patch(1, "frost"))
    (store.root / "refs" / "fog.json").write_text(content)
    for action in (store.resolve, store.get, store.history):
        with pytest.raises(IntegrityError, match="fog"):
            action("fog")
    with pytest.raises(IntegrityError):
        store.publish(patch(2))
    with pytest.raises(IntegrityError):
        store.gc()
    assert store.get("frost").digest == patch(1, "frost").digest
    store.remove("fog")
    with pytest.raises(UnknownPatchError):
        store.get("fog")


def test_too_many_versions_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rwsstore.store.folder.MAX_VERSIONS", 2)
    store.publish(patch(0))
    store.publish(patch(1))
    with pytest.raises(ConfigError, match="has 2 versions"):
        store.publish(patch(2))
    assert store.fsck().findings == ()
    assert not store.has(patch(2).digest)


def test_a_writer_that_never_lets_go_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(patch())

    class Impatient(OsFiles):
        def lock(self, path: Path, timeout: float) -> AbstractContextManager[object]:
            assert timeout == 60
            return super().lock(path, 0)

    with (
        OsFiles().lock(store.root / "lock", 0),
        pytest.raises(StoreError, match=f"held {store.root}/lock for over 60 s"),
    ):
        Store(store.root, files=Impatient()).publish(patch(1))


def test_a_read_only_store_refuses_every_write(store: Store) -> None:
    store.publish(patch())
    before = contents(store.root)
    frozen = Store(store.root, read_only=True)
    for write in (
        lambda: frozen.publish(patch(1)),
        lambda: frozen.publish(patch()),
        lambda: frozen.remove("fog"),
        lambda: frozen.gc(),
        lambda: frozen.fsck(repair=True),
    ):
        with pytest.raises(ReadOnlyError):
            write()
    assert [entry.layer for entry in frozen.list()] == ["bundled"]
    assert frozen.fsck().clean
    assert frozen.get("fog").digest == patch().digest
    assert contents(store.root) == before


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
