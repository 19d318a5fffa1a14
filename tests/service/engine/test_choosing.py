from collections.abc import Iterator

import pytest

from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.runtime import Chosen
from rwsstore_service.engine.finding import Choice
from tests.patches.factory import make_test_patch
from tests.service.engine.shelf import CARD, Shelf, make_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("choosing")
    made = make_shelf(folder, at_most=2, bundled=(make_test_patch("fog"),))
    made.publish("rain", seed=1, card=CARD)
    made.publish("snow", seed=2, alpha={"recommended": 0.75, "maximum": 1.5})
    yield made
    made.journal.close()


def test_a_choice_becomes_a_digest_and_a_strength(shelf: Shelf) -> None:
    chosen = shelf.finder.choose([Choice("snow", 0.5), Choice("fog", 1)])
    assert chosen == (
        Chosen("snow", shelf.store.resolve("snow"), 0.5),
        Chosen("fog", shelf.base.resolve("fog"), 1.0),
    )
    assert all(isinstance(one.alpha, float) for one in chosen)


def test_without_a_strength_it_is_the_recommended_one(shelf: Shelf) -> None:
    assert [one.alpha for one in shelf.finder.choose([Choice("snow"), Choice("fog")])] == [
        0.75,
        1.0,
    ]


@pytest.mark.parametrize(("loss", "alpha"), [(1, 0.5), (4, 1.0), (100, 1.0), (2.5, 0.75)])
def test_a_budget_becomes_the_strength_of_the_card(shelf: Shelf, loss: float, alpha: float) -> None:
    (chosen,) = shelf.finder.choose([Choice("rain", ta_loss=loss)])
    assert chosen.alpha == pytest.approx(alpha)


def test_a_budget_needs_a_card(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="no robustness card"):
        shelf.finder.choose([Choice("fog", ta_loss=1)])


@pytest.mark.parametrize("choice", [Choice("fog", 0), Choice("fog", -0.0), Choice("rain", None, 0)])
def test_nothing_of_a_patch_is_no_patch(shelf: Shelf, choice: Choice) -> None:
    kept = Choice("snow", 1)
    assert [one.patch for one in shelf.finder.choose([choice, kept])] == ["snow"]


def test_also_one_that_is_left_out_has_to_exist(shelf: Shelf) -> None:
    with pytest.raises(UnknownPatchError):
        shelf.finder.choose([Choice("smog", 0)])


@pytest.mark.parametrize("again", ["rain", "rain@1", "digest", "prefix"])
def test_no_patch_twice_whatever_it_is_called(shelf: Shelf, again: str) -> None:
    digest = shelf.store.resolve("rain")
    name = {"digest": digest, "prefix": digest[:12]}.get(again, again)
    with pytest.raises(ConfigError, match="named twice, as 'rain' before"):
        shelf.finder.choose([Choice("rain", 1), Choice(name, 0.5)])


def test_a_name_means_the_newest_version_that_fits(shelf: Shelf) -> None:
    older = shelf.publish("sand", seed=6)
    fitting = shelf.publish("sand", seed=7)
    other = shelf.publish("sand", seed=8, weights="other")
    (chosen,) = shelf.finder.choose([Choice("sand")])
    assert chosen == Chosen("sand", fitting, 1.0)
    assert shelf.finder.store.get("sand").digest == fitting
    found = [shelf.finder.store.resolve(f"sand@{number}") for number in (1, 2, 3)]
    assert found == [older, fitting, other]


@pytest.mark.parametrize("text", ["active", " active "])
def test_active_is_whatever_is_active(shelf: Shelf, text: str) -> None:
    assert shelf.finder.read(text) is None


def test_none_is_nothing(shelf: Shelf) -> None:
    assert shelf.finder.read("none") == ()


def test_a_set_is_read_with_and_without_strengths(shelf: Shelf) -> None:
    wanted = shelf.finder.read(" snow , fog = 0.5 ")
    assert wanted is not None
    assert [(one.patch, one.alpha) for one in wanted] == [("snow", 0.75), ("fog", 0.5)]


def test_a_prediction_brings_so_many_along(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="RWS_MAX_REQUEST_PATCHES"):
        shelf.finder.read("fog,rain,snow")


NO_SETS = """
fog= | fog=nan | fog=1e400 | fog=1=2 | fog,,rain | fog=1,fog=2 | ../fog | None | active,fog |
none,fog | fog=0x1 | fog=1_0 | fog=true | ｆｏｇ
""".replace("\n", " ").split(" | ")


@pytest.mark.parametrize("text", ["", " ", "a" * 5000, *NO_SETS])
def test_what_is_no_patch_set(shelf: Shelf, text: str) -> None:
    with pytest.raises(ConfigError):
        shelf.finder.read(text)
