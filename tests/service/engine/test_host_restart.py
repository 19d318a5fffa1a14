import threading

import pytest

from rwsstore.errors import StorageFullError, UnknownPatchError
from rwsstore.runtime import Chosen, Variant
from rwsstore_service.engine import finding as editing
from rwsstore_service.engine.errors import OtherModelError, StateLostError
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.host import Active
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.records import JournalEntry, Note
from tests.service.engine.hosting import House, model_of, same
from tests.service.engine.shelf import OPS


def test_a_restart_brings_everything_back(house: House) -> None:
    active = house.want(fog=0.5, rain=0.25)
    logits = house.predict().logits
    house.again()
    found = house.host.active
    assert (found.generation, found.at, found.patches) == (2, active.at, active.patches)
    assert found.variant.digest == active.variant.digest
    assert house.told == [found]
    assert same(house.predict().logits, logits)
    assert len(house.journal.records(limit=9)) == 2


def lose(house: House) -> None:
    """The store loses a patch that is on, and the service restarts."""
    house.want(fog=0.5, rain=0.25)
    house.store.remove("fog")
    house.store.gc()
    house.again()


def test_a_patch_set_that_cannot_be_restored_is_told(house: House) -> None:
    lose(house)
    assert not house.host.ready
    assert house.host.fault is not None
    assert "generation 2 cannot be restored" in house.host.fault
    with pytest.raises(StateLostError, match="generation 2"):
        house.predict()
    assert same(house.predict("none").logits, house.expected())
    assert same(house.predict("rain=0.5").logits, house.expected(rain=0.5))
    assert house.host.active.generation == 2
    assert [one.patch for one in house.host.active.patches] == ["fog", "rain"]
    assert len(house.journal.records(limit=9)) == 2


def test_what_cannot_be_restored_can_be_put_right(house: House) -> None:
    lose(house)
    for edit in (lambda now: now, editing.apply(house.host.finder, Choice("snow", 1.0))):
        with pytest.raises(UnknownPatchError):
            house.change(edit)
        assert not house.host.ready
    active = house.change(editing.remove(house.host.finder, "fog"))
    assert (active.generation, house.host.fault, house.host.ready) == (3, None, True)
    assert same(house.predict().logits, house.expected(rain=0.25))


def test_what_is_put_right_is_active_before_it_is_ready(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(house)
    lost, by = house.host.active, Active.by
    seen: list[tuple[bool, Active]] = []

    def noting(entry: JournalEntry, variant: Variant) -> Active:
        seen.append((house.host.ready, house.host.active))
        return by(entry, variant)

    monkeypatch.setattr(Active, "by", noting)
    house.change(editing.clear())
    assert seen == [(False, lost)]
    assert house.host.ready


def test_a_start_that_fails_leaves_no_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> None:
        raise StorageFullError("no space")

    house.close()
    before = set(threading.enumerate())
    monkeypatch.setattr(Journal, "latest", full)
    with pytest.raises(StorageFullError):
        house.open()
    assert set(threading.enumerate()) <= before


def test_the_same_set_heals_once_its_patches_are_back(house: House) -> None:
    fog = house.store.get("fog")
    lose(house)
    house.store.publish(fog)
    active = house.change(lambda now: now)
    assert (active.generation, house.host.ready) == (3, True)
    assert same(house.predict().logits, house.expected(fog=0.5, rain=0.25))


def test_a_state_digest_that_does_not_come_out_is_a_loss(house: House) -> None:
    digest = house.store.resolve("fog")
    house.journal.append(
        Note(
            actor=OPS, action="replace", subject="tiny", patches=(Chosen("fog", digest, 0.5),),
            resolved=(("fog", digest, 0.5),), clean_weights=house.host.identity.clean_weights,
            state_digest="0" * 64, previous_digest="",
        )
    )  # fmt: skip
    house.again()
    assert house.host.fault is not None
    assert "state digest" in house.host.fault


def test_other_weights_begin_anew(house: House) -> None:
    house.want(fog=0.5)
    house.again(model=model_of(1))
    active = house.host.active
    assert (active.generation, active.patches) == (3, ())
    assert house.host.ready
    for number in (1, 2):
        with pytest.raises(OtherModelError):
            house.host.generation(number)
    assert house.host.generation(3).action == "start"
    assert same(house.predict().logits, house.expected())


def test_patches_of_other_weights_may_be_allowed(house: House) -> None:
    house.again(allow_transfer=True)
    active = house.want(foreign=1.0)
    assert active.variant.transferred == (house.store.resolve("foreign"),)
    house.again(allow_transfer=False)
    assert not house.host.ready
