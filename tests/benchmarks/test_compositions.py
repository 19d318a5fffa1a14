"""Figure 8."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.paper.strengths import (
    BEST,
    Compound,
    both,
    pairs,
    run_compositions as run,
    sentence,
)
from benchmarks.paper.study import Study
from rwsstore.corruptions import corrupt
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy
from tests.benchmarks import making
from tests.benchmarks.making import FIVE, TEST, a_study, check_done_once, files_of, settings, table

ALPHAS = (0.5, 1.0)
ALL = settings(
    corruptions=FIVE,
    compositions={"severities": (3, 5), "alphas": ALPHAS, "validation_images": 9},
)
LABELS = ["gaussian_noise + contrast"]


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "settings", lambda: ALL)
    study = check_done_once(run, "compositions", tmp_path, monkeypatch)
    monkeypatch.undo()
    assert set(files_of(study)) == {"compositions.md", "compositions.png"}
    page = (study.docs / "compositions.md").read_text()
    for severity in (3, 5):
        check_compounds(study, page, severity)
    check_alone(study, page)


def ra(study: Study, on: dict[str, float], images: Tensor) -> float:
    patches = study.patches(FIVE)
    live = study.live(patches.values())
    wanted = {patches[name].digest: alpha for name, alpha in on.items()}
    return accuracy(live.variant(wanted), images, TEST.labels)


def check_compounds(study: Study, page: str, severity: int) -> None:
    header, *rows = table(page, f"Two corruptions at severity {severity}")
    assert header[1:6] == ["no patch", "first patch", "second patch", "half + half", "full + full"]
    assert [row[0] for row in rows] == [*LABELS, "mean"]
    for row in rows[:-1]:
        one, other = row[0].split(" + ")
        once = corrupt(TEST.images, one, severity, seed=0)
        images = corrupt(once, other, severity, seed=0)
        sets: list[dict[str, float]] = [
            {}, {one: 1}, {other: 1}, {one: 0.5, other: 0.5}, {one: 1, other: 1}
        ]  # fmt: skip
        assert row[1:6] == [f"{ra(study, on, images):.1f}" for on in sets]
        best = best_by_hand(study, one, other, severity)
        assert row[7] == f"{best[0]:g}, {best[1]:g}"
        chosen = {one: best[0], other: best[1]}
        assert row[6] == f"{ra(study, chosen, images):.1f}"
        assert row[8] == f"{ra(study, chosen, TEST.images):.1f}"


def best_by_hand(study: Study, one: str, other: str, severity: int) -> tuple[float, float]:
    few = study.validation.limit(9, 0)
    shown = corrupt(corrupt(few.images, one, severity, seed=0), other, severity, seed=0)
    patches = study.patches(FIVE)
    live = study.live(patches.values())
    found = {
        (a, b): accuracy(
            live.variant({patches[one].digest: a, patches[other].digest: b}), shown, few.labels
        )
        for a, b in product(ALPHAS, repeat=2)
    }
    best = max(found.values())
    return min((pair for pair in found if found[pair] == best), key=sum)


def check_alone(study: Study, page: str) -> None:
    header, *rows = table(page, "One corruption of the pair, severity 5, or none")
    assert len(header) == 12
    for row in rows[:-1]:
        one, other = row[0].split(" + ")
        shown: list[str] = []
        for name in (one, other):
            images = corrupt(TEST.images, name, 5, seed=0)
            for on in ({}, {name: 1.0}, {one: 0.5, other: 0.5}, {one: 1.0, other: 1.0}):
                shown.append(f"{ra(study, on, images):.1f}")
        for on in ({}, {one: 0.5, other: 0.5}, {one: 1.0, other: 1.0}):
            shown.append(f"{ra(study, on, TEST.images):.1f}")
        assert row[1:] == shown


def test_pairs_stand_in_the_order_of_a_camera() -> None:
    five = ("gaussian_noise", "motion_blur", "fog", "contrast", "pixelate")
    found = pairs(five)
    assert len(found) == 10
    assert found[:2] == [("fog", "motion_blur"), ("fog", "gaussian_noise")]
    assert ("gaussian_noise", "contrast") in found
    assert pairs(five[::-1])[:2] == found[:2]


def test_the_second_corruption_is_put_on_the_first(tmp_path: Path) -> None:
    study = a_study("compositions", tmp_path)
    shown = both(study, TEST, ("fog", "contrast"), 3)
    wanted = corrupt(corrupt(TEST.images, "fog", 3, seed=0), "contrast", 3, seed=0)
    assert torch.equal(shown, wanted)


def test_the_sentence_counts_pairs_that_gain() -> None:
    numbers = ("no patch", "first patch", "second patch", "half + half", "full + full", BEST)
    rows = [(10, 20, 30, 40, 35, 45), (10, 50, 30, 50, 35, 45)]
    compounds = [
        Compound(("fog", "contrast"), dict(zip(numbers, map(float, row), strict=True)), (1, 1), 0)
        for row in rows
    ]
    said = sentence(3, compounds)
    assert "without a patch 10.0" in said
    assert "known only afterwards, 40.0, half + half 45.0, full + full 35.0" in said
    assert "on 1 of 2 pairs" in said


def test_one_corruption_alone_is_refused(tmp_path: Path) -> None:
    study = a_study("compositions", tmp_path, settings=settings(corruptions=FIVE[:1]))
    with pytest.raises(ConfigError, match="no pair"):
        run(study)
    assert not study.docs.exists()


@pytest.mark.parametrize("field", [{"severities": (5, 3)}, {"alphas": (1.0, 1.0)}])
def test_settings_out_of_order_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        settings(compositions=field)
