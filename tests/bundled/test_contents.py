"""The bundle that comes with the package."""

import json

from rwsstore.bundled import bundled_folder, bundled_model, bundled_store, card_path
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.making import read_config
from rwsstore.making.card import BundleCard, card_markdown
from rwsstore.models import weights_fingerprint
from rwsstore.runtime import LiveModel

LARGEST = 12_000_000
WEIGHTS = ("corruption_resistant", "hessian_aware")
DELTAS = (*WEIGHTS, "clat")


def _card() -> BundleCard:
    return BundleCard.read(card_path(bundled_folder()))


def test_it_is_small_and_whole() -> None:
    size = sum(path.stat().st_size for path in bundled_folder().rglob("*") if path.is_file())
    assert size <= LARGEST
    assert bundled_store().fsck().clean
    assert {entry.name for entry in bundled_store().list()} == {*CORRUPTIONS, *DELTAS}


def test_the_patches_against_failing_weights_are_within_a_megabyte() -> None:
    entries = {entry.name: entry for entry in bundled_store().list()}
    assert sum(entries[name].file_bytes for name in WEIGHTS) <= 1_000_000
    assert [entries[name].kind for name in DELTAS] == list(DELTAS)
    assert [delta.digest for delta in _card().deltas] == [entries[n].digest for n in DELTAS]


def test_the_patch_against_adversaries_is_what_it_ships_for() -> None:
    (clat,) = (delta for delta in _card().deltas if delta.kind == "clat")
    assert clat.file_bytes <= 1_000_000
    assert clat.budget == 4 / 255
    assert clat.patched >= clat.clean_model + 15
    live = LiveModel(bundled_model(), bundled_store())
    card = bundled_store().get("clat").metadata.card
    assert card is not None
    assert len(card.points) >= 5
    assert live.variant({"clat": 0.5}).digest != live.variant({}).digest


def test_it_is_what_its_card_says() -> None:
    card, model = _card(), bundled_model()
    assert weights_fingerprint(model.state_dict()) == card.weights
    assert {patch.name: patch.digest for patch in card.patches} == {
        entry.name: entry.digest for entry in bundled_store().list()
    }
    assert card.config == read_config(bundled_folder().parents[1] / "bundle" / "cifar10.toml")
    assert (bundled_folder() / "CARD.md").read_text() == card_markdown(card)
    assert json.loads(card.to_json())["report"]["images"] == 5000


def test_every_patch_passes_its_golden_check() -> None:
    live = LiveModel(bundled_model(), bundled_store())
    for name in (*CORRUPTIONS, *DELTAS):
        variant = live.variant({name: None})
        assert variant.digest != live.variant({}).digest
        assert not variant.transferred


def test_the_figures_are_those_that_it_ships_for() -> None:
    report = _card().report
    assert report.clean_accuracy >= 86
    assert report.by_bits["8"].gap_recovered is not None
    assert report.by_bits["8"].gap_recovered >= 0.80
    for name, found in report.by_bits["8"].corruptions.items():
        assert found.patched >= found.clean_model - 0.5, name
    assert report.by_bits["4"].patch_payload_bytes <= 0.10 * report.model_bytes
    assert report.by_bits["8"].mean.patched - report.by_bits["4"].mean.patched <= 0.5
