from pathlib import Path

import pytest

from rwsstore.errors import UnknownPatchError
from rwsstore.measure import choose_patches
from rwsstore.patches import compose
from rwsstore.store import Store
from tests.patches.factory import make_identity, make_test_patch

MODEL = make_identity("clean")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_each_corruption_gets_its_patch(store: Store) -> None:
    fog, snow = make_test_patch("fog"), make_test_patch("snow", seed=1, corruption="snow")
    for patch in (fog, snow):
        store.publish(patch)
    found = choose_patches(store, MODEL, ["snow", "fog"])
    assert list(found) == ["snow", "fog"]
    assert found["fog"].digest == fog.digest
    assert found["snow"].digest == snow.digest
    assert list(choose_patches(store, MODEL, ["fog"])) == ["fog"]


def test_without_names_every_corruption_that_has_one(store: Store) -> None:
    for name in ("snow", "fog"):
        store.publish(make_test_patch(name, corruption=name))
    assert set(choose_patches(store, MODEL, None)) == {"fog", "snow"}


def test_the_patch_named_like_the_corruption_comes_first(store: Store) -> None:
    named = make_test_patch("fog", seed=1)
    for patch in (make_test_patch("a_fog", seed=0), named, make_test_patch("z_fog", seed=2)):
        store.publish(patch)
    assert choose_patches(store, MODEL, ["fog"])["fog"].digest == named.digest


def test_without_such_a_name_the_first_by_name(store: Store) -> None:
    first = make_test_patch("a_fog", seed=0)
    for patch in (make_test_patch("z_fog", seed=2), first):
        store.publish(patch)
    assert choose_patches(store, MODEL, ["fog"])["fog"].digest == first.digest


def test_the_latest_version_counts(store: Store) -> None:
    newer = make_test_patch("fog", seed=2)
    for patch in (make_test_patch("fog", seed=1), newer):
        store.publish(patch)
    assert choose_patches(store, MODEL, ["fog"])["fog"].digest == newer.digest


@pytest.mark.parametrize("allow_transfer", [True, False])
def test_a_patch_of_this_very_model_comes_before_any_other(
    store: Store, allow_transfer: bool
) -> None:
    own = make_test_patch("my_fog", seed=1)
    store.publish(make_test_patch("fog", weights="other"))
    store.publish(own)
    found = choose_patches(store, MODEL, ["fog"], allow_transfer=allow_transfer)
    assert found["fog"].digest == own.digest


def test_a_patch_of_another_model_is_taken_only_where_asked_for(store: Store) -> None:
    other = make_test_patch("fog", weights="other")
    store.publish(other)
    with pytest.raises(UnknownPatchError, match="for fog"):
        choose_patches(store, MODEL, ["fog"])
    with pytest.raises(UnknownPatchError, match="name another store"):
        choose_patches(store, MODEL, None)
    found = choose_patches(store, MODEL, ["fog"], allow_transfer=True)
    assert found["fog"].digest == other.digest


def test_composed_patches_stand_for_no_corruption(store: Store) -> None:
    fog = make_test_patch("fog")
    store.publish(fog)
    store.publish(compose("both", [(fog, 0.5)]))
    assert choose_patches(store, MODEL, None)["fog"].digest == fog.digest


def test_what_is_missing_is_named(store: Store) -> None:
    store.publish(make_test_patch("fog"))
    with pytest.raises(UnknownPatchError, match=r"for snow, frost: extract them"):
        choose_patches(store, MODEL, ["fog", "snow", "frost"])
    with pytest.raises(UnknownPatchError, match=r"for snow: extract it"):
        choose_patches(store, MODEL, ["fog", "snow"])


def test_an_empty_store(store: Store) -> None:
    with pytest.raises(UnknownPatchError, match="extract some"):
        choose_patches(store, MODEL, None)
