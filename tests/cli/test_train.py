from pathlib import Path

import pytest

from rwsstore.models import load_checkpoint
from tests.cli.conftest import TRAIN, Bench, Rws


def test_it_writes_the_folded_model_and_the_network_as_trained(bench: Bench) -> None:
    folded = load_checkpoint(bench.model)
    unfolded = load_checkpoint(bench.folder / "clean.unfolded.safetensors")
    assert folded.spec.folded
    assert not unfolded.spec.folded
    assert folded.spec.classes[:2] == ("zero", "one")
    assert sorted(path.name for path in bench.folder.iterdir()) == [
        "clean.safetensors",
        "clean.unfolded.safetensors",
        "store",
    ]


def test_the_same_command_gives_the_same_bytes(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    assert rws(*TRAIN, "--out", again).code == 0
    assert again.read_bytes() == bench.model.read_bytes()


def test_json_tells_what_was_found_and_written(rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    outcome = rws(*TRAIN, "--epochs", 2, "--anchor-epoch", 1, "--out", out, "--json")
    document = outcome.document
    assert outcome.code == 0
    assert document["written"] == [str(out), str(tmp_path / "model.anchor.safetensors")]
    assert [record["epoch"] for record in document["history"]] == [1, 2]
    assert document["validation_images"] == 40
    assert 0 <= document["validation_accuracy"] <= 100
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.safetensors",
        "model.anchor.safetensors",
    }


def test_a_pretrained_start_becomes_the_anchor(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    assert rws(*TRAIN, "--epochs", 1, "--init", bench.model, "--out", out).code == 0
    anchor = load_checkpoint(tmp_path / "model.anchor.safetensors")
    start = load_checkpoint(bench.model)
    for name, tensor in anchor.state_dict().items():
        assert tensor.equal(start.state_dict()[name])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--out", "model.pth"], 4, "ends in .safetensors"),
        (["--out", "no/such/folder/model.safetensors"], 3, "there is no folder"),
        (["--epochs", "0"], 4, "epochs"),
        (["--learning-rate", "nan"], 4, "learning_rate"),
        (["--recipe", "robust"], 4, "--corruption go together"),
        (["--layers", "3"], 4, "--recipe robust"),
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
