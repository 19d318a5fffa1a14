from pathlib import Path
from typing import Any

from benchmarks.paper.weights import (
    SEVERE,
    flipped_subjects as subjects,
    run_flipped as run,
    severe,
)
from tests.benchmarks.making import a_study, forbid_work, settings, table

_TRAINING = {
    "epochs": 1, "batch_size": 20, "learning_rate": 0.05, "clip_norm": 1.0, "flip": False,
}  # fmt: skip


def weights(**fields: Any) -> Any:
    part = {"training": _TRAINING, "sites": 120, "images": 24, "resamples": 100, **fields}
    return settings(hessian_aware=part)


def test_the_page_the_headlines_and_a_second_run(tmp_path: Path, monkeypatch: Any) -> None:
    study = a_study("hessian_aware", tmp_path, settings=weights())
    found = run(study)["models"]
    assert list(found) == ["clean", "plain", "l2", "sam", "hessian", "patch"]
    page = study.docs / "hessian_aware.md"
    rows = table(page.read_text(), "Flips of the exponent's top bit")
    assert [row[1] for row in rows[1:]] == [f"{one['ta']:.1f}" for one in found.values()]
    assert found["plain"]["of_plain"] == 1.0
    assert found["plain"]["of_plain_interval"] in ([1.0, 1.0], None)
    before = page.read_text()
    forbid_work(monkeypatch)
    assert run(a_study("hessian_aware", tmp_path, settings=weights()))["models"] == found
    assert page.read_text() == before
    every = subjects(study)
    figures = severe(every)
    for subject in every:  # the same weights in each
        drops = subject.flips[1]
        assert len(drops) == 120
        assert figures[subject.key].value == 100 * float((drops >= SEVERE).double().mean())
