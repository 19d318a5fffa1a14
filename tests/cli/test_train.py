from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rwsstore.cpu import ComputeMode
from rwsstore.models import load_checkpoint, read_model_card, weights_fingerprint
from rwsstore.runtime import FORMATS
from tests.cli.conftest import TRAIN, Bench, Rws

_SHORT = """
train --dataset digits --size 16 --batch-size 32 --limit 160 --validation 40 --no-flip --padding 2
--mode plain --epochs 1
"""
SHORT = _SHORT.split()


def test_it_writes_the_folded_model_and_the_network_as_trained(bench: Bench) -> None:
    folded = load_checkpoint(bench.model)
    unfolded = load_checkpoint(bench.folder / "clean.unfolded.safetensors")
    assert folded.spec.folded
    assert not unfolded.spec.folded
    assert folded.spec.classes[:2] == ("zero", "one")
    assert sorted(path.name for path in bench.folder.iterdir()) == [
        "clean.card.json",
        "clean.safetensors",
        "clean.unfolded.safetensors",
        "store",
    ]


def test_it_measures_the_compute_formats_on_the_held_out_images(bench: Bench) -> None:
    weights = weights_fingerprint(load_checkpoint(bench.model).state_dict())
    card = read_model_card(bench.model, weights=weights)
    assert (card.dataset, {one.images for one in card.formats}) == ("digits", {40})
    assert {one.patch_sets for one in card.formats} == {0}
    assert [one.name for one in card.formats] == list(FORMATS)
    assert [one.name for one in card.formats if one.offered] == ["float32"]  # too few images


@pytest.mark.usefixtures("formats_unmeasured")
def test_the_same_command_gives_the_same_bytes(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    assert rws(*TRAIN, "--out", again).code == 0
    assert again.read_bytes() == bench.model.read_bytes()


@pytest.mark.usefixtures("formats_unmeasured")
def test_arithmetic_is_measured_where_the_training_is_longer_than_that(
    rws: Rws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[torch.Size] = []

    def measure(_model: nn.Module, example: Tensor) -> ComputeMode:
        measured.append(example.shape)
        return ComputeMode()

    monkeypatch.setattr("rwsstore.cpu.probe", measure)
    words = [*SHORT, "--width", "0.125", "--mode", "auto", "--out", tmp_path / "a.safetensors"]
    assert rws(*words).code == 0
    assert measured == []
    assert rws(*words, "--batch-size", 2, "--force").code == 0
    assert measured == [(2, 3, 16, 16)]


def test_a_model_that_is_there_is_replaced_only_by_force(rws: Rws, tmp_path: Path) -> None:
    out, words = tmp_path / "a.safetensors", [*SHORT, "--width", "0.125"]
    out.write_bytes(b"somebody's model")
    refused = rws(*words, "--out", out)
    assert refused.code == 4
    assert "--force" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert out.read_bytes() == b"somebody's model"
    assert rws(*words, "--out", out, "--force").code == 0
    assert load_checkpoint(out).spec.folded


def test_json_tells_what_was_found_and_written(rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    small = ["--width", 0.125, "--epochs", 2]
    outcome = rws(*SHORT, *small, "--anchor-epoch", 1, "--out", out, "--json")
    document = outcome.document
    assert outcome.code == 0
    anchor, card = tmp_path / "model.anchor.safetensors", tmp_path / "model.card.json"
    assert document["written"] == [str(out), str(anchor), str(card)]
    assert [record["epoch"] for record in document["history"]] == [1, 2]
    assert document["validation_images"] == 40
    assert 0 <= document["validation_accuracy"] <= 100
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.safetensors",
        "model.anchor.safetensors",
        "model.card.json",
    }


@pytest.mark.usefixtures("formats_unmeasured")
def test_a_pretrained_start_becomes_the_anchor(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    assert rws(*SHORT, "--init", bench.model, "--out", out).code == 0
    anchor = load_checkpoint(tmp_path / "model.anchor.safetensors")
    start = load_checkpoint(bench.model)
    for name, tensor in anchor.state_dict().items():
        assert tensor.equal(start.state_dict()[name])


@pytest.mark.usefixtures("formats_unmeasured")
def test_a_weight_recipe_goes_on_training_the_chosen_layers(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    chosen = ["--recipe", "corruption_resistant", "--set", "epsilon=0.1", "--layers", "classifier"]
    assert rws(*SHORT, *chosen, "--init", bench.model, "--out", out).code == 0
    before, after = load_checkpoint(bench.model).state_dict(), load_checkpoint(out).state_dict()
    changed = {name for name, tensor in before.items() if not tensor.equal(after[name])}
    assert changed
    assert {name.rpartition(".")[0] for name in changed} == {"network.classifier"}
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.card.json"}


def test_one_with_batchnorm_is_folded_at_the_end(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    start = bench.folder / "clean.unfolded.safetensors"
    chosen = ["--recipe", "corruption_resistant", "--init", start]
    written = rws(*SHORT, *chosen, "--out", out, "--json").document["written"]
    assert written[:2] == [str(out), str(tmp_path / "model.unfolded.safetensors")]
    assert load_checkpoint(out).spec.folded


@pytest.mark.usefixtures("formats_unmeasured")
def test_without_batchnorm_a_weight_recipe_may_begin(rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    fresh = ["--recipe", "corruption_resistant", "--no-batch-norm", "--width", 0.125]
    assert rws(*SHORT, *fresh, "--out", out).code == 0
    assert load_checkpoint(out).spec.network == "vgg16"


@pytest.mark.usefixtures("formats_unmeasured")
def test_sharpness_aware_takes_rho(rws: Rws, tmp_path: Path) -> None:
    common = ["--recipe", "sharpness_aware", "--width", 0.125, "--limit", 80]
    files = []
    for rho in (0.05, 0.5):
        files.append(tmp_path / f"{rho}.safetensors")
        assert rws(*SHORT, *common, "--set", f"rho={rho}", "--out", files[-1]).code == 0
    default = tmp_path / "default.safetensors"
    assert rws(*SHORT, *common, "--out", default).code == 0
    assert files[0].read_bytes() == default.read_bytes() != files[1].read_bytes()


ATTACKED = ["--width", 0.125, "--set", "steps=1", "--set", "judged=20"]


@pytest.mark.usefixtures("formats_unmeasured")
def test_adversarial_training_says_what_the_best_epoch_was_chosen_by(
    rws: Rws, tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    outcome = rws(*SHORT, "--recipe", "pgd_at", *ATTACKED, "--out", out)
    assert outcome.code == 0
    assert "% on 20 of 40 validation images under PGD-10, ε = 0.03 (epoch 1 of 1)" in outcome.out
    assert "loss" not in outcome.out  # it has no terms
    outcome = rws(*SHORT, "--recipe", "clean", "--width", 0.125, "--out", out, "--force")
    assert "% on 40 validation images (epoch 1 of 1)" in outcome.out


@pytest.mark.usefixtures("formats_unmeasured")
def test_the_terms_of_the_loss_are_told(rws: Rws, tmp_path: Path) -> None:
    chosen = [*SHORT, "--recipe", "trades", *ATTACKED, "--out", tmp_path / "model.safetensors"]
    assert " in that epoch: cross_entropy " in rws(*chosen).out
    document = rws(*chosen, "--force", "--json").document
    assert document["scored_on"] == "20 of 40 validation images under PGD-10, ε = 0.03"
    (record,) = document["history"]
    assert set(record["terms"]) == {"cross_entropy", "divergence"}
    assert document["remarks"] == []


@pytest.mark.usefixtures("formats_unmeasured")
def test_clat_tells_what_it_selected(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    chosen = [
        *SHORT, "--recipe", "clat", "--init", bench.model, "--set", "steps=1", "--set", "images=10",
        "--set", "every_steps=3", "--set", "judged=20", "--out", tmp_path / "model.safetensors",
    ]  # fmt: skip
    text = rws(*chosen).out
    assert "from step 0: network.features.conv" in text
    assert "from step 3: network.features.conv" in text
    assert "trained in the mean: " in text
    assert ", features " in text
    document = rws(*chosen, "--force", "--json").document
    assert len(document["remarks"]) == 3
    assert all(line in text for line in document["remarks"])
    assert set(document["history"][0]["terms"]) == {"cross_entropy", "features"}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--out", "model.pth"], 4, "ends in .safetensors"),
        (["--out", "no/such/folder/model.safetensors"], 3, "there is no folder"),
        (["--epochs", "0"], 4, "epochs"),
        (["--learning-rate", "nan"], 4, "learning_rate"),
        (["--recipe", "robust"], 4, "--corruption go together"),
        (["--layers", "3"], 4, "--recipe robust"),
        (["--recipe", "selective"], 4, "name one with --init"),
        (["--recipe", "selective", "--init", "x"], 2, "--width: not with --recipe selective"),
        (["--recipe", "selective", "--anchor-epoch", "1", "--no-batch-norm"], 2, "--anchor-epoch"),
        (["--set", "rho=1"], 2, "--set: not with --recipe clean"),
        (["--recipe", "sharpness_aware", "--set", "rho=0"], 4, "recipe sharpness_aware: rho"),
        (["--recipe", "sharpness_aware", "--set", "epsilon=1"], 4, "'epsilon'"),
        (["--recipe", "pgd_at", "--set", "epsilon=0"], 4, "recipe pgd_at: epsilon"),
        (["--recipe", "fast_at", "--set", "steps=2"], 4, "recipe fast_at: steps"),
        (["--recipe", "trades", "--set", "bta=2"], 4, "Did you mean 'beta'?"),
        (["--recipe", "robust", "--corruption", "fog", "--layers", "1-3"], 2, "--layers 1-3"),
        (["--anchor-epoch", "9"], 4, "anchor epoch 9 of 4"),
        (["--network", "vgg61"], 4, "Did you mean 'vgg16'?"),
        (["--width", "-1"], 4, "width"),
        (["--dataset", "digitz"], 4, "Did you mean 'digits'?"),
        (["--dataset", "imagefolder:/nowhere"], 3, "/nowhere"),
        (["--validation", "5000"], 4, "hold out 5000"),
        (["--init", "nothing.safetensors"], 3, "nothing.safetensors"),
        (["--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    rws: Rws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = rws(*TRAIN, "--out", "model.safetensors", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []
