"""`rws card`."""

import shutil
from pathlib import Path

import pytest

from rwsstore.cli.card import measured_card
from rwsstore.data import load_images
from rwsstore.models import (
    load_clean_model,
    model_card_path,
    read_model_card,
    weights_fingerprint,
)
from rwsstore.patches import identify
from rwsstore.runtime import FORMATS
from rwsstore.store import FittingStore, Store
from tests.cli.conftest import Bench, Rws


@pytest.fixture
def checkpoint(bench: Bench, tmp_path: Path) -> Path:
    """The trained model without its card."""
    return Path(shutil.copy(bench.model, tmp_path / "mine.safetensors"))


def test_it_measures_the_model_and_its_patches(rws: Rws, bench: Bench, checkpoint: Path) -> None:
    outcome = rws("card", checkpoint, "--dataset", "digits", "--store", bench.store, "--limit", 60)
    assert outcome.code == 0
    assert "60 images, clean model and 2 patch sets" in outcome.out
    assert f"wrote {checkpoint.with_name('mine.card.json')}" in outcome.out
    assert f"rws serve --model {checkpoint}" in outcome.out
    model = load_clean_model(checkpoint)
    weights = weights_fingerprint(model.state_dict())
    store = FittingStore(Store(bench.store), identify(model.state_dict()))
    images = load_images("digits", "test", size=16).limit(60)
    requests = [{"contrast": None}, {"fog": None}]
    wanted = measured_card(model, images, patches=store, requests=requests)
    assert read_model_card(checkpoint, weights=weights) == wanted
    for name in FORMATS:
        assert name in outcome.out


def test_json_and_enough_images(rws: Rws, bench: Bench, checkpoint: Path) -> None:
    chosen = ["--dataset", "digits", "--store", bench.store, "--limit", 200, "--seed", 3]
    document = rws("card", checkpoint, *chosen, "--json").document
    assert document["written"] == str(model_card_path(checkpoint))
    assert document["offered"][:3] == ["float32", "packed", "packed_channels_last"]
    assert {one["images"] for one in document["formats"]} == {200}
    assert {one["patch_sets"] for one in document["formats"]} == {2}


def test_patches_of_other_models_are_not_its_own(rws: Rws, checkpoint: Path) -> None:
    chosen = ["--dataset", "digits", "--store", "bundled", "--limit", 20]
    assert "clean model and 0 patch sets" in rws("card", checkpoint, *chosen).out


def test_refusals_write_nothing(rws: Rws, checkpoint: Path) -> None:
    missing = rws("card", checkpoint.with_name("none.safetensors"), "--dataset", "digits")
    assert (missing.code, missing.out) == (3, "")
    bundled = rws("card", "bundled", "--dataset", "digits")
    assert (bundled.code, "has its card already" in bundled.err) == (4, True)
    assert rws("card", checkpoint, "--dataset", "smog").code == 4
    assert rws("card", checkpoint, "--dataset", "digits", "--limit", 0).code == 2
    assert [path.name for path in checkpoint.parent.iterdir()] == ["mine.safetensors"]
