"""Compute formats of a bundle: measured when it is built, again on demand, read for serving."""

import shutil
from pathlib import Path

import pytest

from rwsstore.bundled import card_path, model_path, packaged_formats, store_path
from rwsstore.data import ImageSet
from rwsstore.errors import FormatError, MismatchError, MissingFileError
from rwsstore.making import build_bundle
from rwsstore.making.card import BundleCard, card_markdown
from rwsstore.models import ModelCard, load_clean_model, write_model_card
from rwsstore.runtime import FORMATS, measure_agreement
from rwsstore.store import Store
from rwsstore.training import hold_out
from tests.making.conftest import Made

Digits = tuple[ImageSet, ImageSet]


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.out, tmp_path / "out"))


def _others(folder: Path) -> dict[str, bytes]:
    """Everything but the card."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stem.lower() != "card"
    }


def test_the_card_says_what_anyone_can_measure_again(made: Made, digits: Digits) -> None:
    model = load_clean_model(model_path(made.out))
    _, held_out = hold_out(digits[0], validation=100, seed=made.config.data.seed)
    found = measure_agreement(
        model,
        held_out.images,
        patches=Store(store_path(made.out), read_only=True),
        requests=[{"fog": None}, {"contrast": None}, {"steady": None}],
    )
    assert made.card.formats == found
    assert [one.name for one in found] == list(FORMATS)
    assert {(one.images, one.patch_sets) for one in found} == {(100, 3)}


def test_people_read_it_too(made: Made) -> None:
    section = (made.out / "CARD.md").read_text().split("## Compute formats")[1].split("\n## ")[0]
    for name in FORMATS:
        assert f"| {name} | " in section
    assert "| packed | 100.00 | 100.00 (clean model) |" in section
    without = made.card.model_copy(update={"formats": ()})
    assert "## Compute formats" not in card_markdown(without)


def test_a_bundle_from_before_gets_them_and_keeps_the_rest(
    made: Made, digits: Digits, copied: Path
) -> None:
    before = made.card.model_dump(mode="json")
    del before["formats"]
    old = BundleCard.model_validate(before | {"formats": ()}, strict=False)
    card_path(copied).write_text(old.to_json().replace('"formats":[],', ""))
    assert BundleCard.read(card_path(copied)).formats == ()
    others = _others(copied)
    assert build_bundle(made.config, *digits, copied, work=made.work) == made.card
    assert card_path(copied).read_bytes() == card_path(made.out).read_bytes()
    assert (copied / "CARD.md").read_bytes() == (made.out / "CARD.md").read_bytes()
    assert _others(copied) == others


def test_they_are_measured_again_on_demand(made: Made, digits: Digits, copied: Path) -> None:
    wrong = tuple(one.model_copy(update={"largest_difference": 9.0}) for one in made.card.formats)
    card = made.card.model_copy(update={"formats": wrong})
    card_path(copied).write_text(card.to_json())
    assert build_bundle(made.config, *digits, copied, work=made.work) == card
    again = build_bundle(made.config, *digits, copied, work=made.work, measure_again=True)
    assert again == made.card == BundleCard.read(card_path(copied))


def test_a_bundle_s_model_is_read_from_the_bundle_s_card(made: Made, copied: Path) -> None:
    weights, checkpoint = made.card.weights, model_path(copied)
    assert packaged_formats(checkpoint, weights=weights) == made.card.formats
    with pytest.raises(MismatchError, match="is of the weights"):
        packaged_formats(checkpoint, weights="0" * 64)
    card_path(copied).write_text("{}")
    with pytest.raises(FormatError):
        packaged_formats(checkpoint, weights=weights)
    card_path(copied).unlink()
    with pytest.raises(MissingFileError):
        packaged_formats(checkpoint, weights=weights)


def test_a_card_of_its_own_comes_first(made: Made, copied: Path) -> None:
    weights, formats = made.card.weights, made.card.formats[:2]
    card = ModelCard(weights=weights, dataset="digits", formats=formats)
    write_model_card(model_path(copied), card)
    assert packaged_formats(model_path(copied), weights=weights) == formats
    other = copied / "other.safetensors"  # the bundle's card is of model.safetensors alone
    with pytest.raises(MissingFileError):
        packaged_formats(other, weights=weights)
