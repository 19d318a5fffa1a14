"""Figure 6."""

from pathlib import Path
from statistics import fmean

import pytest
import torch

from benchmarks.paper.tables import constrained, run_layers as run
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy
from rwsstore.models import shallowest
from tests.benchmarks.making import (
    FIVE,
    a_study,
    check_done_once,
    files_of,
    models,
    settings,
    table,
)  # fmt: skip


def test_the_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = check_done_once(run, "layers", tmp_path, monkeypatch)
    monkeypatch.undo()
    page = (study.docs / "layers.md").read_text()
    header, *rows = table(page, "Means")
    assert [row[0] for row in rows] == [str(layers) for layers in range(1, 15)]
    for layers in (1, 5, 14):
        row = rows[layers - 1]
        patches = {
            name: study.cut(study.robust(name), name, layers=layers, bits=8) for name in FIVE
        }
        ra = [
            accuracy(study.patched(patch), study.corrupted(study.test, name), study.test.labels)
            for name, patch in patches.items()
        ]
        assert row[1] == f"{fmean(ra):.1f}"
        payload = sum(patch.payload_bytes for patch in patches.values())
        assert row[header.index("payload of all patches")] == f"{payload:,}"
    assert [row[0] for row in rows if row[3]] == ["1", "5"]
    assert [row[0] for row in table(page, "RA by corruption, constrained")] == ["K", "1", "5"]
    assert set(files_of(study)) == {"layers.md", "layers.png"}


def test_a_cut_is_the_difference_of_the_shallowest_layers(tmp_path: Path) -> None:
    study = a_study("layers", tmp_path)
    robust = study.robust("contrast")
    patch = study.cut(robust, "contrast", layers=3, bits=32)
    names = [name for layer in shallowest(study.clean, 3) for name in layer.parameters]
    assert set(patch.tensors) == set(names)
    state = study.live([patch]).variant({patch.digest: 1.0}).state()
    for name, tensor in study.clean.state_dict().items():
        wanted = robust.state_dict()[name] if name in names else tensor
        assert torch.allclose(state[name], wanted, atol=1e-6)


def test_constrained_training_freezes_what_lies_behind(tmp_path: Path) -> None:
    study = a_study("layers", tmp_path)
    trained, clean = constrained(study, "contrast", 5).state_dict(), models()[0].state_dict()
    shallow = {name for layer in shallowest(study.clean, 5) for name in layer.parameters}
    assert {name for name in clean if not torch.equal(clean[name], trained[name])} == shallow


def test_more_layers_than_there_are(tmp_path: Path) -> None:
    layers = settings().layers.model_copy(update={"constrained": (5, 15)})
    study = a_study("layers", tmp_path, settings=settings(layers=layers))
    with pytest.raises(ConfigError, match="K = 15; the model has 14"):
        run(study)
    assert not study.work.exists()
