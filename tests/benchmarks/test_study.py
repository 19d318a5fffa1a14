"""What all studies stand on: settings, results, trainings, pages, the command line."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.paper.study as study_module
from benchmarks.paper import pages
from benchmarks.paper.__main__ import STUDIES, main, parser, run_of
from benchmarks.paper.pages import chart, draw, table, write_page
from benchmarks.paper.settings import read_settings
from benchmarks.paper.study import Study, open_study
from rwsstore.corruptions import corrupt
from rwsstore.data import load_images
from rwsstore.errors import ConfigError, FormatError, MissingFileError, UnknownPatchError
from rwsstore.files import Results
from rwsstore.measure import accuracy
from rwsstore.models import build, fold_batchnorm, save_checkpoint
from rwsstore.progress import Task
from rwsstore.store import Store
from rwsstore.training import RobustRecipe
from tests.benchmarks.making import TEST, TRAIN, a_study, forbid_work, models, settings
from tests.training.tiny import same

PAPER = Path(study_module.__file__).with_name("paper.toml")


def test_the_papers_settings_are_read() -> None:
    found = read_settings(PAPER)
    assert len(found.corruptions) == 5
    assert len(found.tables.corruptions) == 19
    assert found.robust.clip_norm == 1
    assert {0, 1, 1.2} <= set(found.alpha.alphas)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 0", "sead = 0", "sead"),
        ("severity = 5", "severity = 6", "severity"),
        ('corruptions = "all"', 'corruptions = "noise"', "motion_blur is in corruptions"),
        ("constrained = [1, 3, 5, 8]", "constrained = [1, 3, 2]", "must rise"),
        ("alphas = [0.0, 0.1,", "alphas = [0.1,", "hold 0 and 1"),
        ('"fog"', '"fogg"', "fogg"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "paper.toml"
    text = PAPER.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):  # every refusal is one
        read_settings(path)


def test_settings_that_are_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "paper.toml"
    path.write_text("corruptions = [")
    with pytest.raises(FormatError, match="not TOML"):
        read_settings(path)


def test_a_number_is_measured_once(tmp_path: Path) -> None:
    path, calls = tmp_path / "deep" / "results.json", []
    results = Results(path, {"model": "a"})
    assert not path.exists()
    for _ in range(2):
        assert results.number("key", lambda: calls.append(1) or 1.25) == 1.25  # type: ignore[func-returns-value]  # counts and answers
    again = Results(path, {"model": "a"})
    assert again.number("key", lambda: 99.0) == 1.25
    assert "key" in again
    assert len(calls) == 1


def test_results_of_another_run_are_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results(path, {"model": {"weights": "a"}}).number("key", lambda: 1.0)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r'model\.weights was "a", and is "b" now'):
        Results(path, {"model": {"weights": "b"}})
    assert path.read_bytes() == before
    path.write_text("{}")
    with pytest.raises(FormatError, match="holds no results"):
        Results(path, {})


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", {})
    with pytest.raises(ConfigError, match="nan"):
        results.number("key", lambda: float("nan"))
    assert "key" not in results
    assert not (tmp_path / "results.json").exists()


def test_images_are_split_corrupted_and_measured(tmp_path: Path) -> None:
    study = a_study("alpha", tmp_path, settings=settings(seed=3, test_images=30))
    assert (len(study.train), len(study.validation), len(study.test)) == (48, 12, 30)
    shown = study.corrupted(study.test, "fog")
    assert torch.equal(shown, corrupt(study.test.images, "fog", 5, seed=3))
    assert study.corrupted(study.test, "fog", 5) is shown
    lighter = study.corrupted(study.test, "fog", 2)
    assert torch.equal(lighter, corrupt(study.test.images, "fog", 2, seed=3))
    assert len(study.corrupted(study.validation, "fog")) == 12
    found = study.measure("a", study.clean, shown, study.test.labels)
    assert found == accuracy(study.clean, shown, study.test.labels)
    numbers = json.loads((study.work / "alpha.json").read_text())["numbers"]
    assert numbers == {"a": found}


def test_images_are_made_only_if_they_are_needed(tmp_path: Path) -> None:
    study = a_study("alpha", tmp_path)
    study.measure("a", study.clean, lambda: TEST.images, TEST.labels)

    def never() -> torch.Tensor:
        raise AssertionError

    again = a_study("alpha", tmp_path)
    assert again.measure("a", study.clean, never, TEST.labels) == study.results.number("a", never)  # type: ignore[arg-type]  # not called


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean": models}, "clean_weights"),
        ({"test": TRAIN}, r"images\.test"),
        ({"train": TEST}, r"images\.train"),
        ({"wide": None}, "wide_patches"),
        ({"settings": settings(seed=1)}, r"images|seed"),
    ],
    ids=["model", "test", "train", "wide", "settings"],
)
def test_results_are_bound_to_what_they_were_measured_on(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    study = a_study("alpha", tmp_path)
    study.measure("a", study.clean, TEST.images, TEST.labels)
    before = (study.work / "alpha.json").read_bytes()
    if "clean" in changed:
        changed = {"clean": fold_batchnorm(build(models()[1].spec, seed=9).eval())}
    with pytest.raises(ConfigError, match=message):
        a_study("alpha", tmp_path, **changed)
    assert (study.work / "alpha.json").read_bytes() == before


def test_another_studys_settings_do_not_matter(tmp_path: Path) -> None:
    study = a_study("alpha", tmp_path)
    study.measure("a", study.clean, TEST.images, TEST.labels)
    layers = settings().layers.model_copy(update={"constrained": (3,)})
    assert "a" in a_study("alpha", tmp_path, settings=settings(layers=layers)).results


def test_a_studys_own_settings_do(tmp_path: Path) -> None:
    study = a_study("alpha", tmp_path)
    study.measure("a", study.clean, TEST.images, TEST.labels)
    other = settings(alpha={"alphas": (0.0, 1.0)})
    with pytest.raises(ConfigError, match=r"settings\.alpha\.alphas"):
        a_study("alpha", tmp_path, settings=other)


def test_a_model_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study("layers", tmp_path)
    robust = study.robust("contrast")
    assert not same(robust, study.clean)
    assert not robust.training
    assert sorted(path.name for path in study.work.iterdir()) == ["robust-contrast.safetensors"]
    forbid_work(monkeypatch)
    assert same(a_study("tables", tmp_path).robust("contrast"), robust)


def test_a_trained_model_of_another_run_is_refused_and_left(tmp_path: Path) -> None:
    study = a_study("layers", tmp_path)
    study.robust("contrast")
    path = study.work / "robust-contrast.safetensors"
    before = path.read_bytes()
    longer = settings().robust.model_copy(update={"epochs": 2})
    with pytest.raises(ConfigError, match="other parameters"):
        a_study("layers", tmp_path, settings=settings(robust=longer)).robust("contrast")
    with pytest.raises(ConfigError, match="other parameters"):
        a_study("layers", tmp_path, train=TEST).robust("contrast")
    recipe = RobustRecipe("fog", layers=None)
    with pytest.raises(ConfigError, match="other parameters"):
        study.trained("robust-contrast", recipe, study.clean, study.settings.robust)
    assert path.read_bytes() == before


class _Stop(Exception):  # noqa: N818  (no error: somebody stopped the program)
    pass


class _Stopping:
    """Stops when the second epoch begins."""

    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:
        yield self

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        if note.startswith("epoch 2"):
            raise _Stop


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    config = settings().robust.model_copy(update={"epochs": 2})
    whole = a_study("layers", tmp_path / "whole", settings=settings(robust=config))
    stopped = a_study(
        "layers", tmp_path / "stopped", settings=settings(robust=config), progress=_Stopping()
    )
    with pytest.raises(_Stop):
        stopped.robust("contrast")
    assert [path.name for path in stopped.work.iterdir()] == ["robust-contrast.state"]
    again = a_study("layers", tmp_path / "stopped", settings=settings(robust=config))
    assert same(again.robust("contrast"), whole.robust("contrast"))
    assert [path.name for path in stopped.work.iterdir()] == ["robust-contrast.safetensors"]


def test_patches_by_corruption(tmp_path: Path) -> None:
    study = a_study("tables", tmp_path)
    assert study.patches(["fog"])["fog"].metadata.bits == 8
    assert study.patches(["fog"], wide=True)["fog"].metadata.bits == 32
    with pytest.raises(UnknownPatchError, match="snow"):
        study.patches(["snow"])
    with pytest.raises(MissingFileError, match="work-bundle"):
        a_study("tables", tmp_path, wide=None).patches(["fog"], wide=True)


def test_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study("alpha", tmp_path)
    monkeypatch.setattr(pages, "_TEXTS", tmp_path)
    text = "# Title\n\n{word} {all.severity}, {own.alphas[1]:g}.\n\n{none}\n\n{blocks}\n"
    (tmp_path / "alpha.md").write_text(text)
    figure, axes = chart(2, 2)
    axes.plot([0, 1])
    blocks = [table(["a", "b"], [["x", 1]]), draw(study, "A line", figure, "two")]
    path = write_page(study, word="Words", none=[], blocks=blocks)
    page = path.read_text()
    assert path == study.docs / "alpha.md"
    start = (
        "# Title\n\nWords 5, 0.5.\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n\n"
        "![A line](alpha-two.png)\n\n"
    )
    assert page.startswith(start)
    assert "`python -m benchmarks.paper alpha --data" in page
    assert str(tmp_path) not in page
    with pytest.raises(ValueError, match="not as wide"):
        table(["a", "b"], [["x"]])


def _bundle(folder: Path) -> tuple[Path, Path]:
    """A bundle for digits, and the folder that it was made in."""
    classes = load_images("digits", "test").classes
    spec = models()[1].spec.model_copy(update={"num_classes": 10, "classes": classes})
    network = build(spec, seed=0).eval()
    bundle, work = folder / "bundle", folder / "work-bundle"
    bundle.mkdir()
    (work / "store32").mkdir(parents=True)
    save_checkpoint(bundle / "model.safetensors", fold_batchnorm(network))
    save_checkpoint(work / "clean.unfolded.safetensors", network)
    return bundle, work


def _arguments(folder: Path, *more: str) -> argparse.Namespace:
    given = ["alpha", "--data", "digits", "--bundle", str(folder / "bundle"), "--threads", "1"]
    given += ["--work", str(folder / "work"), "--docs", str(folder / "docs")]
    return parser().parse_args([*given, *more])


def test_a_study_is_opened_from_the_command_line(tmp_path: Path) -> None:
    _, work = _bundle(tmp_path)
    config = tmp_path / "paper.toml"
    config.write_text(PAPER.read_text().replace("validation = 2000", "validation = 200"))
    arguments = _arguments(tmp_path, "--config", str(config), "--work-bundle", str(work))
    study = open_study("alpha", arguments)
    assert isinstance(study, Study)
    assert len(study.validation) == 200
    assert study.test.images.shape[-1] == study.clean.spec.input_size == 8
    assert study.unfolded is not None
    assert isinstance(study.wide, Store)
    assert study.clean.spec.folded
    assert not study.unfolded.spec.folded
    assert not (tmp_path / "work").exists()


def test_a_wrong_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _bundle(tmp_path)
    given = ["alpha", "--data", "digits", "--bundle", str(tmp_path / "bundle")]
    given += ["--threads", "1", "--work-bundle", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["paper", *given])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    assert "holds no store32" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--augmented", "--image"])
def test_an_option_of_another_study_is_refused(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["paper", "alpha", "--data", "digits", option, "x"])
    with pytest.raises(SystemExit):
        main()
    assert f"{option} is for the study" in capsys.readouterr().err


@pytest.mark.parametrize("name", STUDIES)
def test_every_page_in_the_documentation_has_its_study(name: str) -> None:
    assert callable(run_of(name))
    page = PAPER.parents[2] / "docs" / "paper" / f"{name}.md"
    assert f"`python -m benchmarks.paper {name} --data NAME:PATH" in page.read_text()
