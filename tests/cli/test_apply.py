from pathlib import Path

import pytest
import torch

from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.runtime import LiveModel
from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws


def test_the_weights_are_the_runtimes_to_the_bit(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    out = tmp_path / "patched.safetensors"
    model = ["--model", bench.model, "--store", bench.store, "--out", out]
    document = rws("apply", *model, "--patch", "fog=0.6", "--patch", "contrast", "--json").document
    live = LiveModel(load_clean_model(bench.model), Store(bench.store))
    variant = live.variant({"contrast": 1.0, "fog": 0.6})
    written = load_checkpoint(out).state_dict()
    assert document["state_digest"] == variant.digest
    assert {entry["name"]: entry["alpha"] for entry in document["patches"]} == {
        "fog": 0.6,
        "contrast": 1.0,
    }
    for name, tensor in variant.state().items():
        assert torch.equal(written[name], tensor)


def test_the_order_of_the_options_does_not_matter(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    model = ["--model", bench.model, "--store", bench.store]
    rws("apply", *model, "--patch", "fog=0.6", "--patch", "contrast=0.3", "--out", one)
    rws("apply", *model, "--patch", "contrast=0.3", "--patch", "fog=0.6", "--out", two)
    assert one.read_bytes() == two.read_bytes()


def test_a_budget_of_clean_accuracy_chooses_the_strength(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    out = tmp_path / "patched.safetensors"
    model = ["--model", bench.model, "--store", bench.store, "--out", out]
    document = rws("apply", *model, "--patch", "fog", "--ta-loss", 1, "--json").document
    assert document["patches"][0]["alpha"] == Store(bench.store).get("fog").alpha_for(1.0)


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ("fgo", 3, "Did you mean 'fog'"),
        ("fog=nan", 4, "not a finite number"),
        ("fog=1e400", 4, "not a finite number"),
        ("fog=true", 4, "not a finite number"),
        ("fog=1e30", 4, "this patch takes 0 to 2"),
        ("fog=-1", 4, "this patch takes 0 to 2"),
        ("fog@9", 3, "fog"),
        ("../fog", 4, "fog"),
        ("fog,contrast", 4, "repeat the option"),
    ],
)
def test_a_bad_patch_is_refused_and_nothing_is_written(
    bench: Bench, rws: Rws, tmp_path: Path, patch: str, code: int, message: str
) -> None:
    out = tmp_path / "patched.safetensors"
    model = ["--model", bench.model, "--store", bench.store, "--out", out]
    outcome = rws("apply", *model, "--patch", patch)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_patch_named_twice_is_refused(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    model = ["--model", bench.model, "--store", bench.store, "--out", tmp_path / "x.safetensors"]
    digest = Store(bench.store).resolve("fog")
    assert rws("apply", *model, "--patch", "fog", "--patch", "fog=0.5").code == 4
    assert rws("apply", *model, "--patch", "fog", "--patch", f"{digest[:12]}=0.5").code == 4
    assert list(tmp_path.iterdir()) == []


def test_another_architecture_is_refused_with_the_first_difference(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    other, out = tmp_path / "other.safetensors", tmp_path / "out.safetensors"
    train = "train --dataset digits --width 0.25 --epochs 1 --limit 40 --validation 10 --mode plain"
    assert rws(*train.split(), "--out", other).code == 0
    model = ["--model", other, "--store", bench.store, "--out", out]
    outcome = rws("apply", *model, "--patch", "fog", "--allow-transfer")
    assert outcome.code == 4
    assert "another architecture: its model has 'network." in outcome.err
    assert not out.exists()
