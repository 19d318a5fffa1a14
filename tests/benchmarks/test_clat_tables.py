"""The tables of CLAT, small: what they train, what they measure, and what is shared."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.paper.__main__ as command
from benchmarks.paper.__main__ import run_of
from benchmarks.paper.clat import adversarial, base_options, begin, clean, finetuned
from benchmarks.paper.clat_tables import families
from benchmarks.paper.settings import CLAT_TABLES, Settings
from benchmarks.paper.study import Study
from rwsstore.attacks import Apgd, Pgd
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy, correctness
from rwsstore.models import main_path_convolutions
from rwsstore.training import ClatRecipe, PgdAtRecipe, fit
from tests.benchmarks.making import (
    Interrupted,
    a_study,
    files_of,
    forbid_work,
    kept_at_most,
    settings,
    table,
)
from tests.training.tiny import changed, pictures, same

_EPSILON = 0.02
_SEEN = pictures(42, size=8, seed=1, strength=90)


def small(**fields: Any) -> Settings:
    """Two seeds of a few epochs of a narrow VGG-16."""
    short = {"batch_size": 6, "learning_rate": 0.1, "clip_norm": 1.0, "flip": False}
    inner = {"epsilon": _EPSILON, "steps": 1, "step_size": None, "judged": 6}
    recipe = {**inner, "k": 2, "every": 1, "images": 6}
    part = {
        "network": "vgg16", "width": 0.125, "train_images": 18, "seeds": 2, "epsilon": _EPSILON,
        "evaluation": {"test_images": 18, "pgd_steps": 2, "apgd_steps": 3, "resamples": 100},
        "adversarial": inner, "training": {"epochs": 3, **short}, "half": 1,
        "finetuning": {"epochs": 2, **short}, "recipe": recipe, "counts": (1, 2),
        "clean": {
            "training": {"epochs": 1, **short}, "finetuning": {"epochs": 1, **short},
            "recipe": {**recipe, "perturbed": 0.5},
        },
        **fields,
    }  # fmt: skip
    return settings(clat=part)


def opened(name: str, folder: Path, **fields: Any) -> Study:
    return a_study(name, folder, settings=small(**fields), test=_SEEN)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Study, dict[str, Any]]]:
    """All tables in one folder, the first of them interrupted in its measuring."""
    folder = tmp_path_factory.mktemp("clat")
    first = opened("clat_baselines", folder)
    with kept_at_most(4), pytest.raises(Interrupted):
        run_of("clat_baselines")(first)
    assert not first.docs.exists()
    found = {}
    for name in CLAT_TABLES:
        study = opened(name, folder)
        found[name] = study, run_of(name)(study) or {}
    return found


def folder_of(finished: dict[str, tuple[Study, dict[str, Any]]]) -> Path:
    return finished["clat_baselines"][0].work.parent


def test_a_second_run_trains_and_measures_nothing(
    finished: dict[str, tuple[Study, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(finished["clat_baselines"][0])
    pictures = {f"clat_{name}.png" for name in ("baselines", "count", "blackbox")}
    assert set(before) == {f"{name}.md" for name in CLAT_TABLES} | pictures
    forbid_work(monkeypatch)
    with kept_at_most(0):
        for name in CLAT_TABLES:
            study = opened(name, folder_of(finished))
            assert run_of(name)(study) == finished[name][1]
    assert files_of(finished["clat_baselines"][0]) == before


def test_models_are_trained_once_for_all_tables(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    work = finished["clat_baselines"][0].work
    runs = {path.stem for path in work.glob("*.safetensors")}
    assert runs == {
        *(f"clat-s{seed}-pgd_at-{run}" for seed in (0, 1) for run in ("1", "3", "1+clat")),
        *(f"clat-s0-fast_at-{run}" for run in ("1", "3", "1+clat-fast")),
        *(f"clat-s0-trades-{run}" for run in ("1", "3", "1+clat")),
        *(f"clat-s0-pgd_at-1+{run}" for run in ("random", "fixed", "pgd_at", "k1", "k13")),
        *(f"clat-s0-clean-1{run}" for run in ("", "+clat", "+pgd_at")),
    }
    assert not list(work.glob("*.state"))


def test_a_recipe_of_our_own_is_compared_with_the_published_one(tmp_path: Path) -> None:
    recipe = small().clat.recipe.model_copy(update={"inner": "loss", "perturbed": 0.3})
    few = {"test_images": 6, "pgd_steps": 1, "apgd_steps": 1, "resamples": 100}
    fields = {
        "recipe": recipe.model_dump(), "pretrained": True, "others": (), "train_images": 12,
        "evaluation": few,
    }  # fmt: skip
    study = opened("clat_baselines", tmp_path, **fields)
    found = run_of("clat_baselines")(study) or {}
    assert set(found["arms"]) == {"whole", "best", "half", "clat", "published"}
    runs = {path.stem for path in study.work.glob("*.safetensors")}
    assert {"clat-s0-clean-1", "clat-s0-pgd_at-1+published"} <= runs
    assert same(begin(study, 0), clean(study, 0).last)
    page = (study.docs / "clat_baselines.md").read_text()
    assert "PGD-AT, 1, + CLAT as published, 2" in page
    assert "begins at a model trained on the same images, not attacked, for 1 epoch" in page


def test_the_images_are_as_many_as_the_settings_say(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    for name, (study, found) in finished.items():
        assert len(study.train) == len(study.test) == found["images"] == 18
        assert torch.bincount(study.train.labels).tolist() == [6, 6, 6]
        page = (study.docs / f"{name}.md").read_text()
        assert "18 training images of tiny, as many of each class, 12 more" in page
        assert page.count("olds") or page.count("Does not hold")


def test_table_1_is_what_measuring_by_hand_gives(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    study, found = finished["clat_baselines"]
    rows = table(
        (study.docs / "clat_baselines.md").read_text(), "Accuracy in %, the mean over 2 seeds"
    )
    for row, arm in zip(rows[1:], ("whole", "best", "half", "clat"), strict=True):
        by_hand = [_by_hand(study, arm, seed) for seed in (0, 1)]
        for place, measure in enumerate(("clean", "pgd", "apgd", "worst")):
            mean = sum(one[measure] for one in by_hand) / 2
            assert found["arms"][arm][measure]["value"] == pytest.approx(mean)
            assert row[place + 1].startswith(f"{mean:.1f} (")
    worst = [
        _by_hand(study, "clat", s)["worst"] - _by_hand(study, "whole", s)["worst"] for s in (0, 1)
    ]
    assert found["gain_by_seed"] == pytest.approx(worst)
    assert found["gain"]["whole"]["worst"]["value"] == pytest.approx(sum(worst) / 2)
    assert found["meets"]["adversarial"] == (sum(worst) > 0)


def _by_hand(study: Study, arm: str, seed: int) -> dict[str, float]:
    whole, half = (adversarial(study, seed, half=short) for short in (False, True))
    model = {
        "whole": whole.last, "best": whole.best, "half": half.last,
        "clat": finetuned(study, seed, half).last,
    }[arm]  # fmt: skip
    images, labels = study.test.images, study.test.labels
    right = {"clean": correctness(model, images, labels)}
    for name, attack in (("pgd", Pgd(_EPSILON, steps=2)), ("apgd", Apgd(_EPSILON, steps=3))):
        right[name] = correctness(model, attack.perturb(model, images, labels), labels)
    right["worst"] = right["clean"] & right["pgd"] & right["apgd"]
    return {name: 100 * float(row.double().mean()) for name, row in right.items()}


def test_last_and_best_are_those_epochs(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    study, _ = finished["clat_baselines"]
    for seed in (0, 1):
        run = adversarial(study, seed)
        assert len(run.history) == 3
        assert same(run.last, run.best) == (run.best_epoch == 3)
        top = max(record.accuracy for record in run.history)
        assert run.history[run.best_epoch - 1].accuracy == top
    assert {adversarial(study, seed).best_epoch for seed in (0, 1)} != {3}  # else this shows little


def test_seeds_differ_in_their_start(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, _ = finished["clat_baselines"]
    assert not same(begin(study, 0), begin(study, 1))
    assert same(begin(study, 1), begin(study, 1))


def test_the_runs_are_those_that_the_settings_describe(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    study, _ = finished["clat_baselines"]
    settings, images = study.settings.clat, (study.train, study.validation)
    first = settings.training.model_copy(update={"seed": 1, "epochs": settings.half})
    recipe = PgdAtRecipe(settings.adversarial)
    by_hand = fit(begin(study, 1), recipe, *images, first, stop_after=first.epochs).model
    half = adversarial(study, 1, half=True)
    assert len(half.history) == 1
    assert same(by_hand, half.last)
    then = settings.finetuning.model_copy(update={"seed": 1})
    tuned = fit(half.last, ClatRecipe(settings.recipe), *images, then, stop_after=then.epochs).model
    assert same(tuned, finetuned(study, 1, half).last)


def test_what_clat_trained_is_told(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, found = finished["clat_baselines"]
    half = adversarial(study, 0, half=True)
    run = finetuned(study, 0, half)
    recipe = run.selected
    layers = {layer for one in recipe.selections for layer in one.layers}
    moved = {name.rpartition(".")[0] for name in changed(half.last, run.last)}
    assert moved == layers <= set(main_path_convolutions(half.last))
    assert found["selections"] == [2, 2]
    shares = [
        finetuned(study, s, adversarial(study, s, half=True)).selected.mean_share for s in (0, 1)
    ]
    assert found["mean_share"] == pytest.approx(sum(shares) / 2)
    rows = table((study.docs / "clat_baselines.md").read_text(), "What CLAT trained")
    assert rows[1][1:5] == ["2", "2", str(len(layers)), f"{recipe.mean_share:.1%}"]


def test_the_other_baselines_are_trained_their_own_way(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    study, found = finished["clat_baselines"]
    arms = set(found["arms"])
    assert {"fast_at", "fast_at+clat", "trades", "trades+clat"} < arms
    trades = adversarial(study, 0, method="trades")
    assert set(trades.history[0].terms) == {"cross_entropy", "divergence"}
    assert not same(trades.last, adversarial(study, 0).last)


def test_random_layers_are_drawn_as_often(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    study, found = finished["clat_layers"]
    rows = table((study.docs / "clat_layers.md").read_text(), "What trained")
    assert [row[1:3] for row in rows[1:]] == [["2", "2"], ["2", "2"]]
    difference = (
        found["arms"]["critical"]["worst"]["value"] - found["arms"]["random"]["worst"]["value"]
    )
    assert found["critical_over_random"]["worst"]["value"] == pytest.approx(difference)


def test_a_fixed_selection_stays(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, found = finished["clat_dynamic"]
    rows = table((study.docs / "clat_dynamic.md").read_text(), "What trained")
    assert [row[1] for row in rows[1:]] == ["2", "1"]
    assert list(found["arms"]) == ["dynamic", "fixed", "pgd_at", "again"]


def test_a_clean_start(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, found = finished["clat_clean"]
    assert list(found["arms"]) == ["clean", "clat", "pgd_at"]
    assert "50% of the cross-entropy taken at x + δ" in (study.docs / "clat_clean.md").read_text()


def test_ever_more_layers(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, found = finished["clat_count"]
    shares = found["mean_share"]
    assert list(shares) == ["1", "2", "13"]
    model = adversarial(study, 0, half=True).last
    names = main_path_convolutions(model)
    part = sum(p.numel() for name in names for p in model.get_submodule(name).parameters())
    assert shares["13"] == pytest.approx(part / sum(p.numel() for p in model.parameters()))
    assert shares["1"] < shares["13"]
    assert found["arms"]["2"] == finished["clat_layers"][1]["arms"]["critical"]
    assert found["chosen"] in (1, 2)


def test_the_black_box(finished: dict[str, tuple[Study, dict[str, Any]]]) -> None:
    study, found = finished["clat_blackbox"]
    names = list(found["matrix"])
    assert names == [f"vgg16, seed {s}: {kind}" for s in (0, 1) for kind in ("PGD-AT", "CLAT")]
    subjects = families(study)
    images, labels = study.test.images, study.test.labels
    for made_on in names[:2]:
        model = subjects[made_on].last
        attack = Pgd(_EPSILON, steps=2)
        for tried_on in names:
            shown = attack.perturb(model, images, labels, early_exit=made_on == tried_on)
            by_hand = accuracy(subjects[tried_on].last, shown, labels)
            assert found["matrix"][made_on][tried_on]["value"] == pytest.approx(by_hand)
    value = {(a, b): found["matrix"][a][b]["value"] for a in names for b in names}
    gaps = [value[a, b] - value[b, b] for a in names for b in names if a != b]
    assert found["least_margin"]["value"] == pytest.approx(min(gaps))
    pairs = [(a, 1, 0) for a in names[2:]] + [(a, 3, 2) for a in names[:2]]
    gains = [value[a, names[ours]] - value[a, names[theirs]] for a, ours, theirs in pairs]
    assert found["clat_over_pgd_at"]["value"] == pytest.approx(sum(gains) / 4)


def test_k_is_a_twentieth_where_none_is_given(tmp_path: Path) -> None:
    study = opened("clat_layers", tmp_path)
    recipe = study.settings.clat.recipe.model_copy(update={"k": None})
    assert base_options(study, begin(study, 0), recipe).k == 1
    assert base_options(study, begin(study, 0)).k == 2


def test_too_many_layers_are_refused(tmp_path: Path) -> None:
    study = opened("clat_count", tmp_path, counts=(2, 13))
    with pytest.raises(ConfigError, match=r"clat\.counts has 13; the network has 13 layers"):
        run_of("clat_count")(study)
    assert not study.docs.exists()


def test_models_of_other_settings_are_refused_and_others_stay(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    folder = folder_of(finished)
    before = files_of(finished["clat_baselines"][0])
    other = {"epsilon": _EPSILON, "k": 2, "every": 1, "strength": 0.5}
    study = opened("clat_layers", folder, recipe=other)
    with pytest.raises(ConfigError, match=r"1\+clat\.safetensors belongs to a run with other"):
        run_of("clat_layers")(study)
    study = opened("clat_layers", folder, counts=(5,), others=())
    assert run_of("clat_layers")(study) == finished["clat_layers"][1]
    assert files_of(study) == before


def test_measurements_with_other_attacks_are_refused(
    finished: dict[str, tuple[Study, dict[str, Any]]],
) -> None:
    evaluation = {"test_images": 18, "pgd_steps": 5, "apgd_steps": 3, "resamples": 100}
    study = opened("clat_layers", folder_of(finished), evaluation=evaluation)
    with pytest.raises(ConfigError, match="measured"):
        run_of("clat_layers")(study)


def test_the_headlines_on_the_command_line(
    finished: dict[str, tuple[Study, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study, found = finished["clat_layers"]
    monkeypatch.setattr(command, "open_study", lambda *_: study)
    monkeypatch.setattr(sys, "argv", ["paper", "clat_layers", "--data", "digits", "--json"])
    command.main()
    told = json.loads(capsys.readouterr().out)
    assert told["page"].endswith("clat_layers.md")
    assert told["arms"] == found["arms"]
