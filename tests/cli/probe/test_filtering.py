"""`rws probe filtering`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rwsstore.cpu import ComputeMode
from rwsstore.data import load_images
from rwsstore.measure import Resampling
from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.probes import filtering
from rwsstore.probes.filtering import (
    FilteringOptions,
    FilteringReport,
    ScoringOptions,
    measure_curves,
)
from tests.cli.conftest import Bench, Outcome, Rws

SMALL = ("--dataset", "digits", "--limit", 30, "--thresholds", 5, "--layers", "1,conv13")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def probe(rws: Rws, bench: Bench, *more: object) -> Outcome:
    return rws("probe", "filtering", "--model", bench.model, *SMALL, *more)


def expected(
    bench: Bench, measuring: dict[str, Any], scoring: dict[str, Any], *, unfolded: bool = False
) -> FilteringReport:
    path = bench.folder / "clean.unfolded.safetensors"
    model = load_checkpoint(path) if unfolded else load_clean_model(bench.model)
    images = load_images("digits", "test", size=model.spec.input_size).limit(30)
    layers = ["network.features.conv1", "network.features.conv13"]
    options = FilteringOptions(**{"thresholds": 5, **measuring})
    fast = ComputeMode(channels_last=True).prepare(model)
    curves = measure_curves(fast, images.images, images.labels, options, layers=layers)
    return FilteringReport.of(curves, ScoringOptions(**scoring), dataset=images.name)


def test_everything_at_once(bench: Bench, rws: Rws, tmp_path: Path, cache: Path) -> None:
    written, drawn = tmp_path / "a.csv", tmp_path / "a"
    options = ("--epsilon", 0.03, "--filters", "h2,h1", "--tolerance", 0.2, "--score", "s1")
    more = ("--as-published", "--resamples", 100, "--csv", written, "--png", drawn, "--json")
    outcome = probe(rws, bench, *options, *more)
    assert outcome.code == 0
    report = expected(
        bench,
        {"epsilon": 0.03, "filters": ("h2", "h1")},
        {
            "tolerance": 0.2, "decides": "s1", "above_chance": False,
            "resampling": Resampling(resamples=100),
        },
    )  # fmt: skip
    assert outcome.document == json.loads(json.dumps(report.to_dict()))
    assert written.read_text() == report.to_csv()
    assert len(list(csv.reader(io.StringIO(written.read_text())))) == 1 + 2 * 3
    for name in ("a-curves.png", "a-map.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
    assert "filtering 4/4" in outcome.err
    assert not list((cache / "rwsstore" / "probes").iterdir())  # finished: nothing is kept


def test_a_table_of_an_unfolded_model(bench: Bench, rws: Rws) -> None:
    model = ("--model", bench.folder / "clean.unfolded.safetensors", "--unfolded")
    outcome = rws("probe", "filtering", *model, *SMALL, "--filters", "h1")
    assert outcome.code == 0
    report = expected(bench, {"filters": ("h1",)}, {}, unfolded=True)
    figure = report.scores[1].mean["s1"]
    assert figure is not None
    row = next(line.split() for line in outcome.out.splitlines() if line.split()[:1] == ["conv13"])
    assert row[1] == f"{figure.value:.2f}"
    assert "30 images of digits" in outcome.out


def test_an_interrupted_run_goes_on(
    bench: Bench, rws: Rws, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def stopped(*arguments: Any, **options: Any) -> Any:
        measure_curves(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(filtering, "measure_curves", stopped)
        assert probe(rws, bench, "--filters", "h1").code != 0
    (kept,) = (cache / "rwsstore" / "probes").iterdir()
    assert len(json.loads(kept.read_text())["numbers"]) == 3

    def never(*arguments: Any) -> Any:
        raise AssertionError("this was measured before")

    monkeypatch.setattr("rwsstore.probes.filtering.curves.correctness", never)
    assert probe(rws, bench, "--filters", "h1").code == 0
    assert not kept.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--thresholds", 6), 4, "thresholds is 6"),
        (("--epsilon", 0), 4, "epsilon"),
        (("--tolerance", -1), 4, "tolerance is -1"),
        (("--filters", "h7"), 4, "unknown filter 'h7'"),
        (("--layers", "99"), 4, "layers 1 to 14"),
        (("--resamples", 3), 4, "resamples is 3"),
        (("--png", "nowhere/a"), 3, "there is no folder"),
        (("--csv", "nowhere/a.csv"), 3, "there is no folder"),
        (("--model", "bundled", "--unfolded"), 4, "the bundled model is folded"),
    ],
)
def test_refusals(
    bench: Bench, rws: Rws, options: tuple[object, ...], code: int, message: str, cache: Path
) -> None:
    outcome = probe(rws, bench, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert not cache.exists()
