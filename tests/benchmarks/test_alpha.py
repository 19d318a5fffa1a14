"""Figure 7."""

from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.paper.strengths import Curves, best_place, run_alpha as run
from rwsstore.corruptions import corrupt
from rwsstore.measure import accuracy
from tests.benchmarks.making import FIVE, TEST, check_resumable, files_of, table


def test_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = check_resumable(run, "alpha", tmp_path, monkeypatch)
    monkeypatch.undo()
    page = (study.docs / "alpha.md").read_text()
    means = table(page, "Means over the corruptions, test images")
    assert means[0] == ["α", "RA, severity 3", "RA, severity 5", "TA"]
    patches = study.patches(FIVE)
    for row, alpha in zip(means[1:], (0.0, 0.5, 1.0), strict=True):
        predicts = {name: study.patched(patch, alpha) for name, patch in patches.items()}
        for place, severity in enumerate((3, 5), start=1):
            ra = [
                accuracy(predict, corrupt(TEST.images, name, severity, seed=0), TEST.labels)
                for name, predict in predicts.items()
            ]
            assert row[place] == f"{fmean(ra):.1f}"
        ta = [accuracy(predict, TEST.images, TEST.labels) for predict in predicts.values()]
        assert row[3] == f"{fmean(ta):.1f}"
        assert row[0] == f"{alpha:g}"
    assert set(files_of(study)) == {"alpha.md", "alpha.png"}
    _check_best(study.docs / "alpha.md", study)


def _check_best(path: Path, study: object) -> None:
    """The best α is chosen on validation images and reported on test images."""
    from benchmarks.paper.study import Study

    assert isinstance(study, Study)
    patches = study.patches(FIVE)
    for severity in (3, 5):
        rows = {row[0]: row for row in table(path.read_text(), f"Best α for severity {severity}")}
        for name, patch in patches.items():
            shown = study.corrupted(study.validation, name, severity)
            chosen = [
                accuracy(study.patched(patch, alpha), shown, study.validation.labels)
                for alpha in (0.0, 0.5, 1.0)
            ]
            best = (0.0, 0.5, 1.0)[chosen.index(max(chosen))]
            assert rows[name][1] == f"{best:g}"
            test = study.corrupted(study.test, name, severity)
            ra = accuracy(study.patched(patch, best), test, TEST.labels)
            assert rows[name][2] == f"{ra:.1f}"


def test_the_best_alpha_comes_from_validation_and_is_the_smallest_among_equals() -> None:
    curves: Curves = {("test", 5): [1.0, 2.0, 9.0], ("validation", 5): [3.0, 4.0, 4.0]}
    assert best_place(curves, 5) == 1
