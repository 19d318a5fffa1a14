"""The bundled model and its patches are there without a word."""

import json
from pathlib import Path

import pytest

from rwsstore.bundled import bundled_model, bundled_store
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.models import load_checkpoint
from rwsstore.runtime import LiveModel
from tests.cli.conftest import Rws


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RWS_STORE", str(tmp_path / "store"))


def test_the_bundled_patches_are_listed_and_nothing_is_written(rws: Rws, tmp_path: Path) -> None:
    found = json.loads(rws("store", "ls", "--json").out)["patches"]
    assert {entry["name"] for entry in found} == {
        *CORRUPTIONS, "clat", "corruption_resistant", "hessian_aware",
    }  # fmt: skip
    assert {entry["layer"] for entry in found} == {"bundled"}
    assert not any(tmp_path.iterdir())
    alone = json.loads(rws("store", "ls", "--store", "bundled", "--json").out)["patches"]
    assert alone == found


def test_a_store_that_is_named_stands_alone(rws: Rws, tmp_path: Path) -> None:
    assert json.loads(rws("store", "ls", "--store", tmp_path / "x", "--json").out)["patches"] == []


def test_apply_needs_neither_model_nor_store(rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "foggy.safetensors"
    document = json.loads(rws("apply", "--patch", "fog=0.6", "--out", out, "--json").out)
    live = LiveModel(bundled_model(), bundled_store())
    variant = live.variant({"fog": 0.6})
    assert document["state_digest"] == variant.digest
    written = load_checkpoint(out).state_dict()
    assert all((written[name] == tensor).all() for name, tensor in variant.state().items())


def test_what_one_composes_lies_in_ones_own_store(rws: Rws) -> None:
    assert rws("compose", "foggy_night", "fog=0.6,gaussian_noise=0.4").code == 0
    found = {
        entry["name"]: entry["layer"]
        for entry in json.loads(rws("store", "ls", "--json").out)["patches"]
    }
    assert found["foggy_night"] == "user"
    assert found["fog"] == "bundled"
    assert rws("store", "fsck").code == 0


def test_the_bundled_model_is_inspected_by_its_name(rws: Rws) -> None:
    document = json.loads(rws("inspect", "bundled", "--json").out)
    assert document["network"] == "vgg16"
    assert document["folded"] is True
    assert rws("compose", "bundled", "fog=0.6").code == 4


def test_the_bundled_model_takes_no_description_and_no_foreign_images(rws: Rws) -> None:
    outcome = rws("evaluate", "--dataset", "digits", "--network", "vgg16", "--num-classes", "10")
    assert outcome.code == 4
    assert "the bundled model says itself what it is" in outcome.err
    outcome = rws("evaluate", "--dataset", "digits")
    assert outcome.code == 4
    assert "airplane" in outcome.err
