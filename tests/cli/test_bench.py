import io
from pathlib import Path

import pytest
from rich.cells import cell_len

from rwsstore import speed
from rwsstore.progress import Reporter
from rwsstore.speed import BenchReport, Subject
from tests.cli.conftest import Bench, Rws

QUICK = ("bench", "--seconds", 7)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Measure for a moment, and say for how long was asked; memory has a test of its own."""
    asked: list[float] = []

    def hurried(subject: Subject, *, seconds: float, progress: Reporter) -> BenchReport:
        asked.append(seconds)
        return measure(subject, seconds=0.05, progress=progress)

    measure = speed.bench
    monkeypatch.setattr(speed, "bench", hurried)
    monkeypatch.setattr("rwsstore.speed.benching.anonymous_memory", lambda: None)
    return asked


def test_json_has_what_scripts_ask_for(bench: Bench, rws: Rws, seconds: list[float]) -> None:
    outcome = rws(*QUICK, "--model", bench.model, "--store", bench.store, "--json")
    assert outcome.code == 0
    assert seconds == [7]
    report = outcome.document
    assert report["machine"]["threads"] == 1
    assert report["model"] == str(bench.model)
    assert [speed["name"] for speed in report["formats"]] == ["float32"]  # it has no card
    assert report["formats"][0]["chosen"] is True
    assert set(report["formats"][0]["images_per_second"]) == {"1", "8", "32"}
    assert report["patches"]["origin"] == "2 of the store"
    assert report["patches"]["switching"]["copies"] > 0
    assert "measuring" in outcome.err


def test_a_store_without_a_patch_for_the_model_means_random_ones(
    bench: Bench,
    rws: Rws,
    tmp_path: Path,
    screens: list[io.StringIO],
    seconds: list[float],
) -> None:
    outcome = rws(*QUICK, "--model", bench.model, "--store", tmp_path / "empty")
    assert outcome.code == 0
    (screen,) = screens
    shown = screen.getvalue()
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert "random, made in memory" in shown
    assert "this system does not tell" in shown
    assert "rws serve takes this" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--model", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["--seconds", "0"], 2, "--seconds"),
        (["--network", "vgg16"], 4, "--num-classes"),
    ],
)
def test_bad_input_is_refused(rws: Rws, options: list[str], code: int, message: str) -> None:
    outcome = rws("bench", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
