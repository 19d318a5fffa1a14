"""`rws probe criticality`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rwsstore.cpu import ComputeMode
from rwsstore.data import load_images
from rwsstore.errors import ConfigError
from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.probes import criticality
from rwsstore.probes.criticality import (
    CriticalityOptions,
    CriticalityReport,
    measure_weaknesses,
    stability_of,
)
from tests.cli.conftest import Bench, Outcome, Rws

SMALL = ("--dataset", "digits", "--steps", 2)
SEVERAL = ("--limit", 130)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def probe(rws: Rws, bench: Bench, *more: object) -> Outcome:
    return rws("probe", "criticality", "--model", bench.model, *SMALL, *more)


def expected(
    bench: Bench,
    *,
    limit: int = 100,
    seed: int = 0,
    k: int | None = None,
    drawn: dict[str, Any] | None = None,
    unfolded: bool = False,
    **measuring: Any,
) -> CriticalityReport:
    path = bench.folder / "clean.unfolded.safetensors"
    model = load_checkpoint(path) if unfolded else load_clean_model(bench.model)
    images = load_images("digits", "test", size=model.spec.input_size).limit(limit, seed)
    options = CriticalityOptions(**{"steps": 2, **measuring})
    fast = ComputeMode(channels_last=True).prepare(model)
    found = measure_weaknesses(fast, images.images, images.labels, options, seed=seed)
    stability = None if drawn is None else stability_of(found, images.labels, seed=seed, **drawn)
    return CriticalityReport.of(
        model, found.criticality(), options, k=k, seed=seed, dataset=images.name,
        stability=stability,
    )  # fmt: skip


def test_everything_at_once(bench: Bench, rws: Rws, tmp_path: Path, cache: Path) -> None:
    written, drawn = tmp_path / "a.csv", tmp_path / "a.png"
    options = ("--epsilon", 0.05, "--step-size", "none", "--k", 3, "--limit", 30, "--seed", 4)
    more = ("--stability", "--batches", "10,20", "--draws", 3)
    outcome = probe(rws, bench, *options, *more, "--csv", written, "--png", drawn, "--json")
    assert outcome.code == 0
    report = expected(
        bench, limit=30, seed=4, k=3, drawn={"sizes": (10, 20), "draws": 3, "k": 3},
        epsilon=0.05, step_size=None,
    )  # fmt: skip
    assert outcome.document == json.loads(json.dumps(report.to_dict()))
    assert outcome.document["layers"][12]["name"] == "network.features.conv13"
    assert len(outcome.document["stability"]["batches"]) == 2
    assert written.read_text() == report.to_csv()
    assert len(list(csv.reader(io.StringIO(written.read_text())))) == 1 + 13
    with Image.open(drawn) as picture:
        assert picture.format == "PNG"
    assert "criticality 30/30" in outcome.err
    assert not list((cache / "rwsstore" / "probes").iterdir())  # finished: nothing is kept


def test_a_table_of_an_unfolded_model(bench: Bench, rws: Rws) -> None:
    model = ("--model", bench.folder / "clean.unfolded.safetensors", "--unfolded")
    outcome = rws("probe", "criticality", *model, *SMALL)
    assert outcome.code == 0
    report = expected(bench, unfolded=True)
    rows = [line.split() for line in outcome.out.splitlines() if "conv" in line and "%" in line]
    assert [row[3] for row in rows[:13]] == [f"{row.criticality:.3f}" for row in report.rows]
    assert [row[1] for row in rows if row[-1] == "chosen"] == [
        row.name.rpartition(".")[2] for row in report.rows if row.chosen
    ]
    assert "100 images of digits" in outcome.out
    assert "found again" not in outcome.out


def test_five_layers_and_more_images_are_compared_unless_told_otherwise(
    bench: Bench, rws: Rws
) -> None:
    document = probe(rws, bench, "--stability", "--draws", 2, "--json").document
    assert (document["k"], document["stability"]["k"]) == (1, 5)
    images = min(500, len(load_images("digits", "test")))
    assert document["images"] == document["stability"]["images"] == images > 100
    assert [batch["size"] for batch in document["stability"]["batches"]] == [10, 30, 50, 100]


def test_an_interrupted_run_goes_on(
    bench: Bench, rws: Rws, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def stopped(*arguments: Any, **options: Any) -> Any:
        measure_weaknesses(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(criticality, "measure_weaknesses", stopped)
        assert probe(rws, bench, *SEVERAL).code != 0
    (kept,) = (cache / "rwsstore" / "probes").iterdir()
    assert len(json.loads(kept.read_text())["numbers"]) > 2

    def never(*arguments: Any, **options: Any) -> Any:
        raise ConfigError("measured anew")

    monkeypatch.setattr("rwsstore.attacks.Pgd.perturb", never)
    for other in (("--seed", 1), ("--epsilon", 0.01), ("--steps", 3), ("--step-size", 0.01)):
        assert "measured anew" in probe(rws, bench, *SEVERAL, *other).err
    assert probe(rws, bench, *SEVERAL, "--k", 2).code == 0  # the choice may be another one
    assert not kept.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--epsilon", 0), 4, "epsilon"),
        (("--epsilon", -1), 4, "epsilon"),
        (("--step-size", "long"), 4, "--step-size is 'long'"),
        (("--step-size", 0), 4, "step_size"),
        (("--k", 14), 4, "--k is 14; the model has 13 layers"),
        (("--k", 0), 2, "--k"),
        (("--stability", "--batches", "10,many"), 4, "--batches is '10,many'"),
        (("--stability", "--batches", "10,10"), 4, "each once"),
        (("--stability", "--batches", "10,50", "--limit", 50), 4, "batches of 50 of 50 images"),
        (("--png", "nowhere/a.png"), 3, "there is no folder"),
        (("--png", "a.pdf"), 4, "ends in .png"),
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
