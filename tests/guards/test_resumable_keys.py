"""Resumable work is found again by keys that no renamed class and no moved module changes.

A value here may change only with what the key speaks of: a recipe's, an attack's or a training's
settings, or the way in which weights and images are hashed. Whoever changes one says in the
changelog that work in progress is not found again.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from rwsstore.canonical import key_part
from rwsstore.cli.main import main
from rwsstore.data import ImageSet
from rwsstore.files import Results
from rwsstore.making import DeltaOptions, ExtractionOptions, extract_all, publish_delta
from rwsstore.models import Classifier, ModelSpec, build, save_checkpoint
from rwsstore.store import Store
from rwsstore.training import (
    AugmentedRecipe,
    ClatRecipe,
    CleanRecipe,
    CorruptionResistantRecipe,
    Recipe,
    RobustRecipe,
    TrainingConfig,
    fit,
)
from tests.benchmarks.making import a_study
from tests.training.test_resume import Interrupting
from tests.training.tiny import CLASSES

CONFIG = TrainingConfig(epochs=2, batch_size=4, padding=1, learning_rate=0.01)


def images(count: int = 12) -> ImageSet:
    """Images that no random number is drawn for."""
    values = torch.arange(count * 3 * 8 * 8).remainder(251).to(torch.uint8)
    return ImageSet(
        values.view(count, 3, 8, 8), torch.arange(count) % len(CLASSES), CLASSES, "counted"
    )


def network(classes: int = len(CLASSES), size: int = 8) -> Classifier:
    """A folded network whose weights are all the same number."""
    spec = ModelSpec(
        network="vgg16", num_classes=classes, width=0.125, input_size=size, folded=True
    )
    model = build(spec, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.03125)
    return model


class Renamed(RobustRecipe):
    """As if the class had been called otherwise, and stood in another module."""


FOG = "49686c1f9d8a1d9aaf6daec576589d228d447961d0b2a8001b10c66df95bf47a"
TRAININGS: dict[str, tuple[Recipe, str]] = {
    "clean": (CleanRecipe(), "89477f559323e7a5aebc84a2918ad424ed5b9ef75ac1d431148a9aede71621f3"),
    "robust": (RobustRecipe("fog", layers=None), FOG),
    "renamed": (Renamed("fog", layers=None), FOG),
    "augmented": (
        AugmentedRecipe(("fog", "contrast"), 3),
        "db27cdc19f5592bfa7cb435c2cecdb79971090cafbfbb47006666bb5efd1bce7",
    ),
    "corruption_resistant": (
        CorruptionResistantRecipe(),
        "87ff0518c3567a4fdf69a1078ad2b877b479f7c5031d85abb9b5efd682a43e42",
    ),
}


@pytest.mark.parametrize(("recipe", "key"), TRAININGS.values(), ids=TRAININGS.keys())
def test_a_training(recipe: Recipe, key: str, tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    fit(network(), recipe, images(), images(6), CONFIG, state_file=path, stop_after=1)
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["rwsstore.run"])["key"] == key


def test_extractions(tmp_path: Path) -> None:
    states, store = tmp_path / "runs", Store(tmp_path / "store")
    sets = images(), images(6)
    with pytest.raises(KeyboardInterrupt):
        list(extract_all(
            network(), ["fog"], *sets, ExtractionOptions(training=CONFIG), store,
            state_folder=states, progress=Interrupting(4),
        ))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        publish_delta(
            network(), ClatRecipe(), *sets, DeltaOptions(training=CONFIG), store,
            state_folder=states, progress=Interrupting(4),
        )  # fmt: skip
    assert sorted(path.name for path in states.iterdir()) == [
        "clat-1a231e70acb370ec.safetensors",
        "fog-2a37cba1cd60c444.safetensors",
    ]


def test_a_study(tmp_path: Path) -> None:
    study = a_study("tables", tmp_path, clean=network(), train=images(24), test=images())
    assert study.run_key_of(Renamed("fog"), network(), CONFIG) == (
        "29590b884cb172f25f931a96dc3834e4e7491a2f018766640e79e1a55b3f6836"
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def identity_kept(command: str, folder: Path, cache: Path, patched: pytest.MonkeyPatch) -> Any:
    """Stop a command after its first number; returns what it will be found again by."""
    save_checkpoint(folder / "model.safetensors", network(10, 32))
    original = Results.value

    def stopping(self: Results, key: str, measure: Any) -> Any:
        if len(self):
            raise KeyboardInterrupt
        return original(self, key, measure)

    patched.setattr(Results, "value", stopping)
    model = ["--model", str(folder / "model.safetensors"), "--dataset", "digits", "--limit", "5"]
    assert main(["--threads", "1", *command.split(), *model]) == 130
    (kept,) = (path for path in cache.rglob("*") if path.is_file())
    return json.loads(kept.read_text())["identity"]


def test_an_evaluation_under_attack(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "evaluate --attacks fgsm,pgd3x2 --epsilon 0.125"
    assert identity_kept(command, tmp_path, cache, monkeypatch)["attacks"] == {
        "fgsm": {"name": "fgsm", "options": {"epsilon": 0.125, "norm": "linf"}},
        "pgd3x2": {
            "name": "pgd",
            "options": {
                "epsilon": 0.125, "norm": "linf", "steps": 3, "step_size": None, "restarts": 2,
                "random_start": True,
            },
        },
    }  # fmt: skip


def test_a_probe(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "probe corruption --epsilon 0.5 --p inf --n 3,all --seeds 2 --seed 7"
    assert identity_kept(command, tmp_path, cache, monkeypatch)["options"] == {
        "name": "corruption",
        "options": {
            "epsilons": [0.5], "by": "table", "p": "inf", "ns": [3, None], "draws": 2, "seed": 7,
            "batch_size": 250,
        },
    }  # fmt: skip


def test_infinities_are_written_as_words() -> None:
    found = key_part("a", {"p": float("inf"), "q": -float("inf"), "r": (1, 0.5)})
    assert found == {"name": "a", "options": {"p": "inf", "q": "-inf", "r": (1, 0.5)}}
