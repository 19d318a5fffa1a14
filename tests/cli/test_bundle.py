"""`rws bundle`: one file, one command, a bundle that the other commands take."""

from pathlib import Path

from tests.cli.conftest import Rws
from tests.making.conftest import TOML

QUICK = TOML.replace("epochs = 2", "epochs = 1").replace("cycles = 2", "cycles = 1")


def test_a_bundle_is_made_used_and_left_alone_by_others(rws: Rws, tmp_path: Path) -> None:
    config, out, work = tmp_path / "digits.toml", tmp_path / "out", tmp_path / "work"
    config.write_text(QUICK)
    command = ["bundle", "--config", config, "--dataset", "digits", "--out", out, "--work", work]
    made = rws(*command)
    assert made.code == 0, made.err
    assert "2 patches" in made.out
    assert "gap recovered" in made.out
    model = ["--model", out / "model.safetensors", "--store", out / "store"]
    measured = rws("evaluate", *model, "--dataset", "digits", "--resamples", 50, "--json").document
    card = rws(*command, "--json").document["report"]  # finished: nothing is measured again
    assert measured["by_bits"]["stored"] == card["by_bits"]["8"]
    assert measured["clean_accuracy_interval"] == card["clean_accuracy_interval"]
    config.write_text(QUICK.replace("layers = 3", "layers = 2"))
    refused = rws(*command)
    assert refused.code == 4
    assert "another configuration" in refused.err
    refused = rws(*command[:-4], "--out", tmp_path / "new", "--work", work)
    assert refused.code == 4
    assert "config.extraction.layers was 3, and is 2 now" in refused.err
    assert not (tmp_path / "new").exists()
