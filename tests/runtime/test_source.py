import pytest

from rwsstore.errors import UnknownPatchError
from rwsstore.runtime import PatchBag
from tests.patches.factory import make_test_patch


def test_a_patch_is_found_by_name_and_by_digest() -> None:
    patch = make_test_patch("fog")
    bag = PatchBag([patch])
    assert bag.get("fog") is patch
    assert bag.get(patch.digest) is patch
    assert bag.resolve("fog") == bag.resolve(patch.digest) == patch.digest


def test_a_later_patch_of_the_same_name_hides_an_earlier_one_that_its_digest_still_finds() -> None:
    old, new = make_test_patch("fog", seed=1), make_test_patch("fog", seed=2)
    bag = PatchBag([old])
    bag.add(new)
    assert bag.get("fog") is new
    assert bag.get(old.digest) is old


def test_no_name_stands_in_for_a_digest() -> None:
    seed = next(s for s in range(100) if make_test_patch(seed=s).digest[0].isalpha())
    patch = make_test_patch(seed=seed)
    impostor = make_test_patch(patch.digest, seed=seed + 1)
    bag = PatchBag([patch, impostor])
    assert bag.get(patch.digest) is patch


def test_a_missing_patch_is_named_with_those_at_hand() -> None:
    bag = PatchBag([make_test_patch("snow"), make_test_patch("fog")])
    with pytest.raises(UnknownPatchError, match=r"'frost'.*fog, snow"):
        bag.get("frost")
    with pytest.raises(UnknownPatchError, match="none"):
        PatchBag().get("frost")
    with pytest.raises(UnknownPatchError, match="'frost'"):
        bag.resolve("frost")
