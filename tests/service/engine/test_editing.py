from collections.abc import Iterator
from pathlib import Path

import pytest

from rwsstore.errors import ConfigError, NotAppliedError, UnknownPatchError
from rwsstore.runtime import Chosen, Edit, Patches
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.finding import Choice
from tests.service.engine.shelf import CARD, Shelf, make_shelf


def stocked(folder: Path) -> Shelf:
    made = make_shelf(folder)
    for seed, name in enumerate(("fog", "rain", "snow")):
        made.publish(name, seed=seed, card=CARD)
    return made


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """For all tests that leave the store as it is."""
    made = stocked(tmp_path_factory.mktemp("editing"))
    yield made
    made.journal.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Shelf]:
    made = stocked(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def active(shelf: Shelf) -> Patches:
    return shelf.finder.choose([Choice("fog", 0.5), Choice("rain", 0.25)])


def names(patches: Patches) -> dict[str, float]:
    return {one.patch: one.alpha for one in patches}


def test_replacing_leaves_nothing_of_before(shelf: Shelf, active: Patches) -> None:
    edit = editing.replace(shelf.finder, [Choice("snow", 0.5), Choice("fog")])
    assert names(edit(active)) == {"snow": 0.5, "fog": 1.0}


def test_clearing_leaves_nothing(active: Patches) -> None:
    assert editing.clear()(active) == ()


def test_applying_adds_one(shelf: Shelf, active: Patches) -> None:
    found = editing.apply(shelf.finder, Choice("snow", 0.75))(active)
    assert names(found) == {"fog": 0.5, "rain": 0.25, "snow": 0.75}


def test_applying_what_is_on_changes_its_strength(shelf: Shelf, active: Patches) -> None:
    found = editing.apply(shelf.finder, Choice("fog", 1.0))(active)
    assert names(found) == {"fog": 1.0, "rain": 0.25}


def test_applying_under_another_name_is_the_same_patch(shelf: Shelf, active: Patches) -> None:
    digest = shelf.store.resolve("fog")
    found = editing.apply(shelf.finder, Choice(digest, 1.0))(active)
    assert names(found) == {digest: 1.0, "rain": 0.25}


def test_applying_a_newer_version_takes_the_older_off(own: Shelf, active: Patches) -> None:
    newer = own.publish("fog", seed=9)
    found = editing.apply(own.finder, Choice("fog", 0.5))(active)
    assert {one.digest for one in found} == {newer, own.store.resolve("rain")}


def test_applying_at_zero_takes_off(shelf: Shelf, active: Patches) -> None:
    assert names(editing.apply(shelf.finder, Choice("fog", 0))(active)) == {"rain": 0.25}


@pytest.mark.parametrize("reference", ["fog", "fog@1", "digest", "prefix"])
def test_scaling_keeps_name_place_and_others(shelf: Shelf, active: Patches, reference: str) -> None:
    digest = shelf.store.resolve("fog")
    called = {"digest": digest, "prefix": digest[:10]}.get(reference, reference)
    found = editing.scale(shelf.finder, Choice(called, 0.125))(active)
    assert found == (Chosen("fog", digest, 0.125), active[1])


def test_scaling_stays_with_the_very_patch(own: Shelf, active: Patches) -> None:
    older = own.store.resolve("fog")
    own.publish("fog", seed=9)
    found = editing.scale(own.finder, Choice("fog", 0.75))(active)
    assert found[0] == Chosen("fog", older, 0.75)


def test_scaling_by_a_budget_and_to_nothing(shelf: Shelf, active: Patches) -> None:
    by_budget = editing.scale(shelf.finder, Choice("rain", ta_loss=1))(active)
    assert names(by_budget) == {"fog": 0.5, "rain": pytest.approx(0.5)}
    assert names(editing.scale(shelf.finder, Choice("rain", 0))(active)) == {"fog": 0.5}


@pytest.mark.parametrize("reference", ["fog", "fog@1", "digest"])
def test_removing_leaves_the_others(shelf: Shelf, active: Patches, reference: str) -> None:
    called = {"digest": shelf.store.resolve("fog")}.get(reference, reference)
    assert names(editing.remove(shelf.finder, called)(active)) == {"rain": 0.25}


def test_removing_what_the_name_no_longer_means(own: Shelf, active: Patches) -> None:
    own.publish("fog", seed=9)
    assert names(editing.remove(own.finder, "fog")(active)) == {"rain": 0.25}


def test_removing_what_the_store_has_lost(own: Shelf, active: Patches) -> None:
    own.store.remove("fog")
    assert names(editing.remove(own.finder, "fog")(active)) == {"rain": 0.25}


@pytest.mark.parametrize("name", ["snow", "smog", "fog@2"])
def test_what_is_not_on_is_neither_scaled_nor_removed(
    shelf: Shelf, active: Patches, name: str
) -> None:
    edits: list[Edit] = [
        editing.scale(shelf.finder, Choice(name, 1.0)),
        editing.remove(shelf.finder, name),
    ]
    for edit in edits:
        with pytest.raises(NotAppliedError, match="on are: fog, rain"):
            edit(active)
    with pytest.raises(NotAppliedError, match="on are: none"):
        edits[1](())


def test_an_edit_that_fails_says_why(shelf: Shelf, active: Patches) -> None:
    with pytest.raises(UnknownPatchError):
        editing.apply(shelf.finder, Choice("smog", 1.0))(active)
    with pytest.raises(ConfigError, match="named twice"):
        editing.replace(shelf.finder, [Choice("fog"), Choice("fog")])(active)
