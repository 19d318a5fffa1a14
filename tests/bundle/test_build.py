"""Building a bundle: what lies there afterwards, going on, and refusals that change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rwsstore.bundle import BundleCard, build_bundle, card_markdown
from rwsstore.bundle.contents import card_path, model_path, store_path
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, DataError, FormatError
from rwsstore.evaluation import EvaluationOptions, choose_patches, evaluate
from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.patches import identify
from rwsstore.store import Store
from tests.bundle.conftest import Made

Digits = tuple[ImageSet, ImageSet]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_bundle_is_model_store_and_card(made: Made) -> None:
    model = load_clean_model(model_path(made.out))
    store = Store(store_path(made.out), read_only=True)
    assert model.spec.folded
    assert {entry.name for entry in store.list()} == {"fog", "contrast"}
    assert store.fsck().clean
    assert all(entry.bits == 8 for entry in store.list())
    assert {part.name: part.digest for part in made.card.patches} == {
        entry.name: entry.digest for entry in store.list()
    }
    assert not {"lock", "index.sqlite"} & set(_files(store_path(made.out)))


def test_the_card_says_what_anyone_can_measure_again(made: Made, digits: Digits) -> None:
    model = load_clean_model(model_path(made.out))
    store = Store(store_path(made.out), read_only=True)
    patches = choose_patches(store, identify(model.state_dict()), made.config.corruptions)
    test = replace(digits[1], name="digits")
    options = EvaluationOptions(bits=(8, 4), resamples=50)
    assert evaluate(model, patches, test, options) == made.card.report


def test_the_card_is_read_back_and_written_for_people(made: Made) -> None:
    card = BundleCard.read(card_path(made.out))
    assert card == made.card
    text = (made.out / "CARD.md").read_text()
    assert text == card_markdown(card) == card_markdown(made.card)
    for word in ("fog", "contrast", "seed", made.card.weights, "must not"):
        assert word in text


def test_the_work_folder_keeps_what_studies_need(made: Made) -> None:
    assert not load_checkpoint(made.work / "clean.unfolded.safetensors").spec.folded
    narrowed = Store(made.work / "store32").get("fog").at_bits(8)
    stored = Store(store_path(made.out), read_only=True).get("fog")
    assert stored.tensors.keys() == narrowed.tensors.keys()
    for name, payload in stored.tensors.items():
        assert torch.equal(payload.delta(1.0), narrowed.tensors[name].delta(1.0))


def test_a_second_run_changes_nothing(made: Made, digits: Digits) -> None:
    before = _files(made.out), _files(made.work)
    assert build_bundle(made.config, *digits, made.out, work=made.work) == made.card
    assert (_files(made.out), _files(made.work)) == before


def test_a_lost_bundle_is_made_again_from_the_work_folder(
    made: Made, digits: Digits, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert build_bundle(made.config, *digits, again, work=made.work) == made.card
    assert _files(again) == _files(made.out)


def test_the_same_configuration_gives_the_same_bytes(
    made: Made, digits: Digits, tmp_path: Path
) -> None:
    build_bundle(made.config, *digits, tmp_path / "out", work=tmp_path / "work")
    assert _files(tmp_path / "out") == _files(made.out)


def test_another_configuration_is_refused(made: Made, digits: Digits, tmp_path: Path) -> None:
    other = made.config.model_copy(update={"name": "other"})
    before = _files(made.out), _files(made.work)
    with pytest.raises(ConfigError, match="finished bundle 'digits' of another"):
        build_bundle(other, *digits, made.out, work=tmp_path / "work")
    fewer = digits[1].limit(50)
    with pytest.raises(ConfigError, match="or of other images"):
        build_bundle(made.config, digits[0], fewer, made.out, work=tmp_path / "work")
    with pytest.raises(ConfigError, match=r'config\.name was "digits", and is "other" now'):
        build_bundle(other, *digits, tmp_path / "new", work=made.work)
    with pytest.raises(ConfigError, match="images was"):
        build_bundle(made.config, digits[0].limit(300), digits[1], tmp_path / "n", work=made.work)
    assert (_files(made.out), _files(made.work)) == before


def test_other_classes_are_refused(made: Made, digits: Digits, tmp_path: Path) -> None:
    cats = replace(digits[0], classes=("cat", *digits[0].classes[1:]))
    with pytest.raises(DataError, match="lacks zero; it has besides cat"):
        build_bundle(made.config, cats, digits[1], tmp_path / "out", work=tmp_path / "work")
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_things_is_left_alone(
    made: Made, digits: Digits, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds something"):
        build_bundle(made.config, *digits, tmp_path, work=tmp_path / "work")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_damaged_card_is_refused(made: Made, digits: Digits, tmp_path: Path) -> None:
    card_path(tmp_path).write_text("{}")
    with pytest.raises(FormatError, match=r"card.json is damaged"):
        build_bundle(made.config, *digits, tmp_path, work=made.work)
