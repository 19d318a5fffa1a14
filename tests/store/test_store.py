import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from rwsstore.canonical import sha256_hex
from rwsstore.errors import ConfigError, ConflictError, MismatchError, UnknownPatchError
from rwsstore.files import OS_FILES, OsFiles
from rwsstore.patches import Patch, compose, make_patch
from rwsstore.store import Entry, Published, Store
from rwsstore.store.records import Version
from tests.patches.factory import SHAPES, make_identity, make_test_patch
from tests.store.helpers import composed, patch


class Overtaken(OsFiles):
    """The files of a process that is overtaken by another one just before it gets the lock."""

    def __init__(self, other: Callable[[], object]) -> None:
        self._other = other

    def lock(self, path: Path, timeout: float) -> AbstractContextManager[object]:
        self._other()
        return super().lock(path, timeout)


def fc_patch(name: str) -> Patch:
    """A patch of the last layer's weights, against an attack."""
    return make_patch(
        kind="hessian_aware",
        name=name,
        model=make_identity(),
        layers=("network.fc",),
        deltas={"network.fc.weight": torch.ones(SHAPES["network.fc.weight"])},
        bits=2,
        attack="bit_flip_exponent",
        budget=1.0,
    )


def publish_all(store: Store, *patches: Patch) -> None:
    for each in patches:
        store.publish(each)


def test_opening_and_reading_create_nothing(store: Store) -> None:
    assert store.list() == ()
    assert store.fsck().clean
    assert store.gc().removed == ()
    assert not store.has(patch().digest)
    with pytest.raises(UnknownPatchError):
        store.get("fog")
    with pytest.raises(UnknownPatchError):
        store.remove("fog")
    assert not store.root.exists()


def test_a_witness_hears_of_it_before_it_is_there_and_may_refuse(store: Store) -> None:
    told: list[Published] = []

    def refuse(made: Published) -> None:
        told.append(made)
        assert not (store.root / "refs" / "fog.json").exists()
        raise ConfigError("not now")

    with pytest.raises(ConfigError, match="not now"):
        store.publish(patch(), witness=refuse)
    assert not store.has(patch().digest)
    assert store.list() == ()
    assert store.publish(patch(), witness=told.append) == told[0] == told[1]
    store.publish(patch(), witness=told.append)  # it is there already
    assert len(told) == 2


def test_publish_stores_the_exact_bytes(store: Store) -> None:
    digest = patch().digest
    assert store.publish(patch()) == Published(digest, "fog", 1, created=True)
    path = store.root / "objects" / digest[:2] / f"{digest}.safetensors"
    assert path.read_bytes() == patch().to_bytes() == store.read(digest)
    assert sha256_hex(path.read_bytes()) == digest
    assert path.stat().st_mode & 0o777 == 0o644
    assert store.get("fog").digest == digest
    assert store.fsck().findings == ()


def test_publish_again_changes_nothing(store: Store) -> None:
    store.publish(patch())
    ref = store.root / "refs" / "fog.json"
    before = ref.stat()
    assert store.publish(patch()) == Published(patch().digest, "fog", 1, created=False)
    assert store.publish(patch(), expected=0).created is False  # a retry after a lost answer
    assert ref.stat() == before


def test_versions(store: Store) -> None:
    first, second = patch(0), patch(1)
    publish_all(store, first, second)
    assert store.publish(first).version == 3
    digests = (first.digest, second.digest, first.digest)
    assert store.history("fog") == tuple(
        Version("fog", number, digest, "user") for number, digest in enumerate(digests, start=1)
    )
    assert [store.resolve(f"fog@{number}") for number in (1, 2, 3)] == list(digests)
    assert store.resolve("fog") == first.digest
    with pytest.raises(UnknownPatchError, match="has versions 1 to 3"):
        store.resolve("fog@4")


def test_a_name_of_ones_own_choice(store: Store) -> None:
    assert store.publish(patch(), name="site-7.fog_v2").name == "site-7.fog_v2"
    assert store.get("site-7.fog_v2").name == "fog"


def test_references_by_digest_and_prefix(store: Store) -> None:
    digest = store.publish(patch()).digest
    for length in (8, 9, 63, 64):
        assert store.resolve(digest[:length]) == digest
    other = "0" * 8 if not digest.startswith("0" * 8) else "1" * 8
    for unknown in (other, digest[:63] + ("0" if digest[63] != "0" else "1")):
        with pytest.raises(UnknownPatchError, match="begins with"):
            store.resolve(unknown)


def test_an_ambiguous_prefix_names_its_candidates(store: Store) -> None:
    digest = store.publish(patch()).digest
    twin = digest[:10] + "0" * 54
    (store.root / "objects" / digest[:2] / f"{twin}.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="2 patches") as error:
        store.resolve(digest[:10])
    assert digest in str(error.value)
    assert twin in str(error.value)
    assert store.resolve(digest[:11]) == digest


def test_near_names_are_suggested(store: Store) -> None:
    publish_all(store, patch(0, "gaussian_noise"), patch(1, "frost"))
    with pytest.raises(UnknownPatchError, match="Did you mean 'gaussian_noise'"):
        store.get("gausian_noise")


def test_compare_and_swap(store: Store) -> None:
    assert store.publish(patch(0), expected=0).version == 1
    for expected in (0, 2):
        with pytest.raises(
            ConflictError, match=f"version {expected} was expected, 1 is the latest"
        ):
            store.publish(patch(1), expected=expected)
    assert store.publish(patch(1), expected=1).version == 2
    assert not store.fsck().unreferenced


def test_the_default_is_what_is_current_when_publish_is_entered(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.publish(patch(0))
    late = Store(tmp_path / "store", files=Overtaken(lambda: store.publish(patch(1))))
    with pytest.raises(ConflictError):
        late.publish(patch(2))
    assert store.resolve("fog") == patch(1).digest
    assert not store.has(patch(2).digest)


def test_a_name_that_was_removed_and_published_again_has_moved(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.publish(patch(0))

    def replace() -> None:
        store.remove("fog")
        store.publish(patch(1))

    late = Store(tmp_path / "store", files=Overtaken(replace))
    with pytest.raises(ConflictError):
        late.publish(patch(2))


def test_a_composed_patch_needs_its_parts(store: Store) -> None:
    store.publish(patch(0))
    with pytest.raises(UnknownPatchError, match=patch(1).digest):
        store.publish(composed())
    assert [entry.name for entry in store.list()] == ["fog"]
    store.publish(patch(1))
    assert store.publish(composed()).created
    assert store.verify("both") == composed().digest


def test_parts_of_another_clean_model_are_refused(store: Store) -> None:
    stranger = make_test_patch("frost", weights="other")
    publish_all(store, patch(0), patch(1), stranger)
    mixed = composed().metadata.model_copy(
        update={"clean_weights": make_identity("other").clean_weights}
    )
    with pytest.raises(MismatchError, match="another clean model"):
        store.publish(Patch.build(mixed, {}, None))


def test_parts_that_are_composed_themselves_are_refused(store: Store) -> None:
    publish_all(store, patch(0), patch(1), composed())
    part = composed().metadata.parts[0].model_copy(update={"digest": composed().digest})
    nested = composed().metadata.model_copy(update={"parts": (part,)})
    with pytest.raises(MismatchError, match="composed itself"):
        store.publish(Patch.build(nested, {}, None))


def test_removed_names_are_gone_but_their_objects_stay(store: Store) -> None:
    publish_all(store, patch(0), patch(1))
    store.remove("fog")
    assert store.list() == ()
    with pytest.raises(UnknownPatchError):
        store.history("fog")
    assert store.get(patch(0).digest).digest == patch(0).digest
    assert store.publish(patch(1)).version == 1


def test_a_list_entry_says_all(store: Store) -> None:
    each = patch()
    store.publish(each)
    assert store.list() == (
        Entry(
            name="fog",
            version=1,
            digest=each.digest,
            kind="rws",
            corruption="fog",
            severity=5,
            attack=None,
            budget=None,
            bits=8,
            architecture=each.metadata.architecture,
            clean_weights=each.metadata.clean_weights,
            file_bytes=len(each.to_bytes()),
            payload_bytes=each.payload_bytes,
            touched_bytes=4 * (4 * 3 * 3 * 3 + 4),
            model_bytes=4 * (4 * 3 * 3 * 3 + 4 + 5 * 4 + 5),
            deepest="network.conv1",
            alpha=1.0,
            layer="user",
        ),
    )


def test_list_filters(store: Store) -> None:
    publish_all(
        store,
        make_test_patch("a", seed=1, bits=8, corruption="fog"),
        make_test_patch("b", seed=2, bits=4, corruption="frost"),
        make_test_patch("c", seed=3, bits=4, corruption=None),
    )
    parts = [(store.get(name), 0.5) for name in "ab"]
    store.publish(compose("d", parts))

    def names(**filters: object) -> str:
        return "".join(entry.name for entry in store.list(**filters))  # type: ignore[arg-type] # any filter

    architecture = make_identity().architecture
    assert names() == "abcd"
    assert names(kind="rws") == "abc"
    assert names(kind="composed") == "d"
    assert names(corruption="frost") == "b"
    assert names(bits=4) == "bc"
    assert names(bits=4, corruption="frost") == "b"
    assert names(architecture=architecture) == "abcd"
    assert names(architecture="0" * 64) == ""
    assert names(kind="' OR 1 --") == ""


def test_what_patches_touch(store: Store) -> None:
    deep = fc_patch("deep")
    publish_all(store, make_test_patch("shallow", bits=2), deep)
    store.publish(compose("both", [(store.get("shallow"), 0.5), (deep, 0.5)]))
    entries = {entry.name: entry for entry in store.list()}
    touched = {name: entry.touched_bytes for name, entry in entries.items()}
    assert touched == {"shallow": 448, "deep": 80, "both": 528}
    assert {entry.model_bytes for entry in entries.values()} == {548}
    deepest = {name: entry.deepest for name, entry in entries.items()}
    assert deepest == {"shallow": "network.conv1", "deep": "network.fc", "both": None}
    assert (entries["deep"].attack, entries["deep"].budget) == ("bit_flip_exponent", 1.0)
    assert [entry.name for entry in store.list(max_touched=448)] == ["deep", "shallow"]
    assert store.list(max_touched=79) == ()
    reach = store.reach(store.get("both"))
    assert set(reach.layers) == {"network.conv1", "network.fc"}
    assert (reach.weights, reach.model_weights, reach.share) == (2, 2, 528 / 548)


def test_list_is_sorted(store: Store) -> None:
    publish_all(store, make_test_patch("b", bits=8), make_test_patch("a", bits=16))
    store.publish(make_test_patch("c", seed=1, bits=8))
    store.publish(compose("d", [(store.get("c"), 1.0)]))
    assert [entry.name for entry in store.list()] == list("abcd")
    assert [entry.name for entry in store.list(sort="payload")] == list("dbca")
    assert [entry.name for entry in store.list(sort="touched")] == list("abcd")
    store.publish(fc_patch("z"))
    assert [entry.name for entry in store.list(sort="touched")] == list("zabcd")


def test_list_shows_the_latest_or_all_versions(store: Store) -> None:
    publish_all(store, patch(0, "frost"), patch(0), patch(1), patch(0))
    assert [(e.name, e.version) for e in store.list()] == [("fog", 3), ("frost", 1)]
    every = [
        (e.name, e.version, e.digest == patch(0).digest) for e in store.list(all_versions=True)
    ]
    assert every == [("fog", 1, True), ("fog", 2, False), ("fog", 3, True), ("frost", 1, False)]


def test_what_is_damaged_is_left_out_of_the_listing_and_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish_all(store, patch(0), patch(1, "frost"), patch(2, "snow"))
    digest = patch(0).digest
    (store.root / "objects" / digest[:2] / f"{digest}.safetensors").write_bytes(b"x")
    (store.root / "refs" / "snow.json").write_bytes(b"{}")
    with caplog.at_level(logging.WARNING):
        assert [entry.name for entry in Store(store.root).list()] == ["frost"]
    assert digest in caplog.text
    assert "snow" in caplog.text


def test_a_relative_folder_is_fixed_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("here"))
    monkeypatch.chdir("/")
    store.publish(patch())
    assert OS_FILES.is_folder(tmp_path / "here" / "objects")


def test_verify_reads_the_parts_too(store: Store) -> None:
    publish_all(store, patch(0), patch(1), composed())
    digest = patch(1).digest
    (store.root / "objects" / digest[:2] / f"{digest}.safetensors").unlink()
    assert store.get("both").digest == composed().digest
    with pytest.raises(UnknownPatchError, match=digest):
        store.verify("both")
