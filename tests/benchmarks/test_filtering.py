"""Maps of layers, the paper's claims, and selective retraining."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.paper.study as study_module
from benchmarks.paper.filtering import (
    Maps,
    gain,
    measure_maps,
    measure_retrained,
    retained,
    retrain,
    run,
)
from benchmarks.paper.findings import agreement, alike
from benchmarks.paper.settings import FilteringSettings, Settings
from rwsstore.attacks import Fgsm
from rwsstore.measure import Figure, Resampling, accuracy
from rwsstore.probes.filtering import FilteringOptions, measure_curves
from tests.benchmarks.making import TEST, a_study, files_of, forbid_work, models, settings, table
from tests.training.tiny import changed

_SHORT = {"epochs": 1, "batch_size": 20, "learning_rate": 0.02, "clip_norm": 1.0, "flip": False}
_EPSILON = 0.01
UP = [1.0, 2.0, 3.0, 5.0]


def small(**fields: Any) -> Settings:
    recipe = {
        "attack_epsilon": _EPSILON, "images": 12, "thresholds": 3, "filters": ("h1",),
        "score": "s1", "tolerance": 0.0,
    }  # fmt: skip
    part = {
        "images": 12, "thresholds": 5, "epsilon": _EPSILON, "recipe": recipe, "seeds": 2,
        "training": _SHORT,
        "digits": {**_SHORT, "batch_size": 200}, "half": _SHORT, "resamples": 100,
    }  # fmt: skip
    return settings(
        filtering={**part, **fields},
        parameter_corruption={"training": _SHORT, "width": 0.0625},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a study that has run."""
    made = tmp_path_factory.mktemp("filtering")
    run(a_study("filtering", made, settings=small()))
    return made


@cache
def maps_of(folder: Path) -> Maps:
    return measure_maps(a_study("filtering", folder, settings=small()))


@pytest.mark.slow
def test_a_second_run_measures_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study("filtering", folder, settings=small())
    before = files_of(study)
    assert set(before) == {
        "filtering.md", "filtering-map.png", "filtering-curves.png", "filtering-resnet18-map.png",
    }  # fmt: skip
    forbid_work(monkeypatch)
    monkeypatch.setattr(study_module, "fit", None)
    headlines = run(study)
    assert files_of(study) == before
    assert set(headlines["findings"]) == {
        "kinds", "targets", "data_sets", "networks", "batch_norm", "retraining",
    }  # fmt: skip
    assert sum(headlines["kinds"].values()) <= 14
    page = before["filtering.md"].decode()
    assert [row[1] for row in table(page, "The paper's findings")[1:]] == [
        found["verdict"] for found in headlines["findings"].values()
    ]


@pytest.mark.slow
def test_the_maps_are_those_of_the_library(folder: Path) -> None:
    maps = maps_of(folder)
    photos = TEST.limit(12)
    for report, model in ((maps["bundled"], models()[0]), (maps["unfolded"], models()[1])):
        count = len(report.curves.curves[0].remaining)
        options = FilteringOptions(epsilon=_EPSILON, filters=("h1",), thresholds=count)
        found = measure_curves(model, photos.images, photos.labels, options)
        for one, other in zip(report.curves.curves, found.curves, strict=True):
            assert torch.equal(one.clean, other.clean)
            assert torch.equal(one.attacked, other.attacked)
    fine, coarse = maps["bundled"].curves.curves[3], maps["coarse"].curves.curves[3]
    assert torch.equal(coarse.clean, fine.clean[::2])
    assert coarse.thresholds.tolist() == fine.thresholds[::2].tolist()
    assert (maps["digits"].curves.classes, maps["half"].curves.classes) == (10, 2)
    assert len(maps["resnet"].scores) == 21


@pytest.mark.slow
def test_with_all_weights_gone_folding_makes_no_difference(folder: Path) -> None:
    maps = maps_of(folder)
    assert retained(maps["resnet"]) == pytest.approx(retained(maps["resnet_folded"]), abs=1.0)


@pytest.mark.slow
def test_the_arms(folder: Path) -> None:
    study = a_study("filtering", folder, settings=small())
    found = measure_retrained(study)
    assert [(key, arm.runs) for key, arm in found.items()] == [
        ("clean", 1), ("plain", 2), ("selective", 2), ("fragile", 1),
    ]  # fmt: skip
    labels = study.test.labels
    assert found["clean"].figures["ta"].value == accuracy(study.clean, study.test.images, labels)
    attacked = Fgsm(_EPSILON).perturb(study.clean, study.test.images, labels)
    assert found["clean"].figures["fgsm"].value == accuracy(study.clean, attacked, labels)
    assert found["clean"].changed == 0
    assert found["plain"].changed == 1
    assert 0 < found["selective"].changed < 1
    for measure in ("fgsm", "pgd10"):
        selective, plain = (found[key].figures[measure].value for key in ("selective", "plain"))
        assert gain(found, measure).value == pytest.approx(selective - plain)
        assert gain(found, measure).interval is not None
        fragile = found["fragile"].figures[measure].value
        assert gain(found, measure, "fragile").value == pytest.approx(fragile - plain)


@pytest.mark.slow
def test_fragile_and_selective_retraining_share_nothing(folder: Path) -> None:
    study = a_study("filtering", folder, settings=small())
    moved = [changed(study.clean, retrain(study, arm, 0)) for arm in ("selective", "fragile")]
    assert moved[0]
    assert moved[1]
    assert moved[0].isdisjoint(moved[1])


def figures(
    values: Sequence[float | None], spread: float = 0.0, seed: int = 0
) -> list[Figure | None]:
    generator = torch.Generator().manual_seed(seed)
    return [
        None
        if value is None
        else Figure(
            value,
            value + spread * torch.randn(200, generator=generator, dtype=torch.float64),
            40,
            Resampling(resamples=200),
        )
        for value in values
    ]


def test_rank_agreement() -> None:
    up, down = UP, [9.0, 7.0, 2.0, 1.0]
    same = agreement(figures(up, 0.01), figures(up, 0.01, seed=1))
    against = agreement(figures(up, 0.01), figures(down, 0.01, seed=1))
    assert same is not None
    assert against is not None
    assert same.value == pytest.approx(1)
    assert against.value == pytest.approx(-1)
    assert same.interval is not None
    assert same.interval.low == pytest.approx(1)
    # One swap of neighbours among four: 1 − 6·2 / (4·15).
    swapped = agreement(figures(up), figures([2.0, 1.0, 3.0, 5.0]))
    assert swapped is not None
    assert swapped.value == pytest.approx(0.8)
    noisy = agreement(figures(up, 3), figures(up, 3, seed=1))
    assert noisy is not None
    assert noisy.interval is not None
    assert noisy.interval.low < 0.5
    holes = agreement(figures([None, *up]), figures([3.0, *up]))
    assert holes is not None
    assert holes.value == pytest.approx(1)
    assert agreement(figures([None, None, 1.0, 2.0]), figures(up)) is None
    bare = [Figure(-9.0, None, 40, Resampling(resamples=200)), *figures(up)]
    without = agreement(bare, figures([30.0, *up]))
    assert without is not None  # a layer without an interval is left out
    assert without.value == pytest.approx(1)
    assert agreement(figures([1.0, 1.0, 1.0]), figures([1.0, 2.0, 3.0])) is None


@pytest.mark.parametrize(
    ("others", "spread", "verdict"),
    [
        ([UP, UP], 0.01, "confirmed"),
        ([UP, UP[::-1]], 0.01, "not confirmed"),
        ([UP, None], 0.01, "in part"),
        ([None], 0.01, "undecided"),
        ([UP], 3.0, "undecided"),
    ],
)
def test_verdicts_on_maps(others: list[list[float] | None], spread: float, verdict: str) -> None:
    rhos = [
        None if values is None else agreement(figures(UP, spread), figures(values, spread, seed=1))
        for values in others
    ]
    assert alike(rhos) == verdict


@pytest.mark.parametrize(
    "fields",
    [
        {"thresholds": 23},
        {"epsilon": 0.02},
        {"recipe": {"attack_epsilon": 0.015, "filters": ("h2",)}},
    ],
)
def test_settings_that_contradict_each_other(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FilteringSettings.model_validate(fields)
