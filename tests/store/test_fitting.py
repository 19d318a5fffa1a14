"""A name that patches of several models share stands for the one that fits."""

from pathlib import Path

import pytest

from rwsstore.errors import UnknownPatchError
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
