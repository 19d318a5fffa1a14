"""Building a bundle: what lies there afterwards, going on, and refusals that change nothing."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch

from rwsstore.bundled import card_path, model_path, store_path
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, DataError, FormatError
from rwsstore.making import build_bundle
from rwsstore.making.card import BundleCard, card_markdown
from rwsstore.making.hazards import hazard_for
from rwsstore.measure import EvaluationOptions, accuracy, choose_patches, evaluate
from rwsstore.models import load_checkpoint, load_clean_model, ordered_layers
from rwsstore.patches import identify, reach_of
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from tests.making.conftest import Made

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
    bits = {entry.name: entry.bits for entry in store.list()}
    assert bits == {"fog": 8, "contrast": 8, "steady": 4}
    assert store.fsck().clean
    assert {part.name: part.digest for part in made.card.patches} == {
        entry.name: entry.digest for entry in store.list()
    }
    assert not {"lock", "index.jsonl"} & set(_files(store_path(made.out)))


def test_the_card_says_what_anyone_can_measure_again(made: Made, digits: Digits) -> None:
    model = load_clean_model(model_path(made.out))
    store = Store(store_path(made.out), read_only=True)
    patches = choose_patches(store, identify(model.state_dict()), made.config.corruptions)
    test = replace(digits[1], name="digits")
    options = EvaluationOptions(bits=(8, 4), resamples=50)
    assert evaluate(model, patches, test, options) == made.card.report


def test_the_card_says_what_the_delta_does_on_the_test_images(made: Made, digits: Digits) -> None:
    model = load_clean_model(model_path(made.out))
    patch = Store(store_path(made.out), read_only=True).get("steady")
    (wanted,), (found,) = made.config.deltas, made.card.deltas
    names = [layer.name for layer in ordered_layers(model)]
    assert patch.metadata.layers == (names[1], *names[12:])
    assert (found.name, found.digest, found.layers) == ("steady", patch.digest, 3)
    assert (found.attack, found.budget) == ("parameter_corruption_l2", 0.2)
    assert found.touched_bytes == reach_of(patch.metadata).touched_bytes
    live, test = LiveModel(model, PatchBag([patch])), digits[1]
    on = live.variant({"steady": 1.0})
    assert found.ta == accuracy(on, test.images, test.labels)
    assert found.images == 60
    hazard = hazard_for(wanted.recipe_for(model), wanted.options)
    assert found.patched == hazard.on(test.limit(60, 0), 0)(on.module)
    assert found.clean_model == hazard.on(test.limit(60, 0), 0)(model)
    assert "steady" in (made.out / "CARD.md").read_text()


def test_deltas_may_change_while_the_rest_stays(
    made: Made, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rwsstore.making.bundle.measure_agreement", lambda *_, **__: ())
    work = Path(copytree(made.work, tmp_path / "work"))
    weaker = made.config.deltas[0].model_copy(update={"settings": {"epsilon": 0.1}})
    changed = made.config.model_copy(update={"deltas": (weaker,)})
    card = build_bundle(changed, *digits, tmp_path / "changed", work=work)
    assert card.report == made.card.report
    assert card.deltas[0].budget == 0.1
    assert card.deltas[0].digest != made.card.deltas[0].digest
    store = Store(store_path(tmp_path / "changed"), read_only=True)
    assert [entry.version for entry in store.list(all_versions=True)] == [1, 1, 1]
    without = made.config.model_copy(update={"deltas": ()})
    card = build_bundle(without, *digits, tmp_path / "without", work=work)
    assert card.deltas == ()
    store = Store(store_path(tmp_path / "without"), read_only=True)
    assert {entry.name for entry in store.list()} == {"fog", "contrast"}
    assert store.fsck().objects == 2


def test_a_work_folder_is_marked_as_it_was_before_there_were_deltas(made: Made) -> None:
    run = json.loads((made.work / "run.json").read_text())
    assert "deltas" not in run["config"]
    assert "optimizer" not in run["config"]["training"]
    assert "optimizer" not in run["config"]["extraction"]["training"]
    assert run["config"]["measuring"].keys() == {"bits", "resamples", "seed"}


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
        build_bundle(made.config, digits[0].limit(200), digits[1], tmp_path / "n", work=made.work)
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
