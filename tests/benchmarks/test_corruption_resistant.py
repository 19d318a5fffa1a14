from pathlib import Path
from typing import Any

import pytest

from benchmarks.paper.study import Study
from benchmarks.paper.weights import (
    corrupted_subjects as subjects,
    epsilon_where_lost,
    run_corrupted as run,
)
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from tests.benchmarks.making import TRAIN, a_study, files_of, forbid_work, settings, stores, table

_TRAINING = {
    "epochs": 1, "batch_size": 20, "learning_rate": 0.05, "clip_norm": 1.0, "flip": False,
}  # fmt: skip


def weights(**fields: Any) -> Any:
    part = {"training": _TRAINING, "epsilons": (0.1, 1.0), "gradient_images": 24, **fields}
    return settings(corruption_resistant=part)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("corruption")
    study = a_study("corruption_resistant", folder, settings=weights())
    return study, run(study)


def test_the_page_and_the_headlines(finished: tuple[Study, dict[str, Any]]) -> None:
    study, found = finished
    assert set(found["models"]) == {"clean", "plain", "resistant", "patch"}
    rows = table(
        (study.docs / "corruption_resistant.md").read_text(),
        "Accuracy in %, without and under corruption of all parameters",
    )
    assert [row[0] for row in rows[1:]] == [
        "clean model", "plain training", "corruption-resistant training",
        "the same as a patch, 8 bits",
    ]  # fmt: skip
    assert (study.docs / "corruption_resistant.png").read_bytes().startswith(b"\x89PNG")
    for row, key in zip(rows[1:], ("clean", "plain", "resistant", "patch"), strict=True):
        assert row[1] == f"{found['models'][key]['ta']:.1f}"


def test_where_plain_training_has_lost_so_much(tmp_path: Path) -> None:
    study = a_study("corruption_resistant", tmp_path, settings=weights(), test=TRAIN)
    plain = subjects(study)[1]
    epsilon = epsilon_where_lost(plain, 20.0, 0.1)
    assert epsilon is not None
    assert plain.ta - plain.corrupted(epsilon) >= 20
    assert plain.ta - plain.corrupted(epsilon / 4) < 20


def test_the_patch_is_the_difference(finished: tuple[Study, dict[str, Any]]) -> None:
    study, _ = finished
    trained = subjects(study)[2].model
    patch = study.difference(trained, kind="corruption_resistant", bits=32)
    assert len(patch.metadata.layers) == 14
    live = LiveModel(study.clean, PatchBag([patch]))
    state = live.variant({patch.digest: 1.0}).state()
    for name, tensor in trained.state_dict().items():
        assert (state[name] - tensor).abs().max() < 1e-6


def test_the_bundled_patch_is_measured_beside(tmp_path: Path) -> None:
    study = a_study("corruption_resistant", tmp_path, settings=weights())
    trained = subjects(study)[2].model
    patch = study.difference(trained, kind="corruption_resistant", bits=4)
    narrow, _ = stores(tmp_path)
    assert isinstance(narrow, Store)
    narrow.publish(patch, name="corruption_resistant")
    again = a_study("corruption_resistant", tmp_path, settings=weights(), work=tmp_path / "again")
    found = run(again)
    assert found["models"]["bundled"]["payload_bytes"] == patch.payload_bytes


def test_a_second_run_measures_nothing(
    finished: tuple[Study, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, found = finished
    before = files_of(study)
    forbid_work(monkeypatch)
    again = a_study("corruption_resistant", study.work.parent, settings=weights())
    assert run(again) == found
    assert files_of(study) == before
