"""`rws probe corruption`."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rwsstore.data import load_images
from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.probes.parameter_corruption import (
    CorruptionReport,
    ProbeOptions,
    indicator,
    measure,
    probe_corruption,
)
from tests.cli.conftest import Bench, Outcome, Rws

SMALL = ("--dataset", "digits", "--limit", 60, "--epsilon", "0.5,0.05")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def probe(rws: Rws, bench: Bench, *more: object) -> Outcome:
    return rws("probe", "corruption", "--model", bench.model, *SMALL, *more)


def expected(bench: Bench, **fields: Any) -> CorruptionReport:
    model = load_clean_model(bench.model)
    images = load_images("digits", "test", size=model.spec.input_size).limit(60)
    layers = fields.pop("layers", None)
    options = ProbeOptions(**{"epsilons": (0.05, 0.5), **fields})
    return probe_corruption(
        model, images.images, images.labels, options, layers=layers, name=images.name
    )


def test_a_table_with_its_files(
    bench: Bench, rws: Rws, tmp_path: Path, cache: Path
) -> None:  # fmt: skip
    written, drawn = tmp_path / "a.csv", tmp_path / "a.png"
    options = ("--n", "10,all", "--seeds", 2, "--seed", 0, "--p", "3")
    outcome = probe(rws, bench, *options, "--csv", written, "--png", drawn, "--json")
    assert outcome.code == 0
    report = expected(bench, ns=(10, None), draws=2, p=3.0)
    assert outcome.document == json.loads(json.dumps(report.to_dict()))
    assert written.read_text() == report.to_csv()
    assert len(list(csv.reader(io.StringIO(written.read_text())))) == 1 + 4
    with Image.open(drawn) as picture:
        assert picture.format == "PNG"
    assert "corruptions 12/12" in outcome.err
    assert not list((cache / "rwsstore" / "probes").iterdir())  # finished: nothing is kept


def test_layers_of_a_model_for_people(bench: Bench, rws: Rws) -> None:
    outcome = probe(rws, bench, "--by", "layer", "--layers", "1,classifier", "--p", "inf", "--n", 3)
    assert outcome.code == 0
    report = expected(
        bench, by="layer", p=math.inf, ns=(3,), draws=0,
        layers=["network.features.conv1", "network.classifier"],
    )  # fmt: skip
    cells = [re.split(r"\s{2,}", line.strip()) for line in outcome.out.splitlines()]
    for group in report.groups:
        row = [f"{one.gradient.accuracy:.1f}" for one in report.of(group, 3)]
        assert row in [cell[2:4] for cell in cells if cell[0] and group.endswith(cell[0])]


def test_batchnorm_is_probed_where_it_is_left_in(bench: Bench, rws: Rws) -> None:
    folded = probe(rws, bench, "--by", "type", "--n", 5, "--json").document
    assert [group["group"] for group in folded["groups"]] == ["conv", "linear"]
    unfolded = bench.model.with_name("clean.unfolded.safetensors")
    assert not load_checkpoint(unfolded).spec.folded
    whole = rws(
        "probe", "corruption", "--model", unfolded, "--unfolded", *SMALL, "--by", "type",
        "--n", 5, "--json",
    ).document  # fmt: skip
    assert [group["group"] for group in whole["groups"]] == ["conv", "norm", "linear"]
    assert all(not row["random"] for row in whole["rows"])


def test_gradients_of_training_images(bench: Bench, rws: Rws) -> None:
    document = probe(rws, bench, "--gradient-images", 30, "--seeds", 0, "--json").document
    assert (document["images"], document["gradient_images"]) == (60, 30)
    model = load_clean_model(bench.model)
    test = load_images("digits", "test", size=16).limit(60)
    train = load_images("digits", "train", size=16).limit(30)
    report = probe_corruption(
        model, test.images, test.labels, ProbeOptions((0.05, 0.5), draws=0), name=test.name,
        gradient_of=(train.images, train.labels),
    )  # fmt: skip
    assert document == json.loads(json.dumps(report.to_dict()))


def test_an_interrupted_run_goes_on(
    bench: Bench, rws: Rws, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    whole = probe(rws, bench, "--seeds", 1, "--json")
    before = bench.model.read_bytes()
    done: list[int] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return measure(*arguments, **options)

    with monkeypatch.context() as patching:
        patching.setattr(indicator, "measure", interrupted)
        stopped = probe(rws, bench, "--seeds", 1, "--json")
    assert (stopped.code, stopped.out) == (130, "")
    (file,) = (cache / "rwsstore" / "probes").iterdir()
    assert len(json.loads(file.read_text())["numbers"]) == 3
    again = probe(rws, bench, "--seeds", 1, "--json")
    assert again.document == whole.document
    assert not file.exists()
    assert bench.model.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--epsilon", "0"], 4, "ε is 0.0; expected a finite number above 0"),
        (["--epsilon", "0.1,x"], 4, "ε 'x'; expected a number"),
        (["--epsilon", "0.1,0.1"], 4, "expected one or more, rising"),
        (["--p", "0.5"], 4, "p is 0.5"),
        (["--p", "nan"], 4, "p 'nan'; expected a number"),
        (["--n", "0"], 4, "n is 0"),
        (["--n", "ten"], 4, "n 'ten'; expected a whole number, or all"),
        (["--n", "5,5"], 4, "none twice"),
        (["--n", "99999999"], 4, "n is 99999999; the model has"),
        (["--layers", "99"], 4, "layers 1 to 14"),
        (["--layers", "1", "--by", "type"], 4, "by table or layer"),
        (["--unfolded", "--model", "bundled"], 4, "the bundled model is folded"),
        (["--by", "colour"], 2, "colour"),
        (["--seeds", "-1"], 2, "seeds"),
        (["--model", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["--csv", "nowhere/a.csv"], 3, "there is no folder"),
        (["--png", "nowhere/a.png"], 3, "there is no folder"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench, rws: Rws, cache: Path, options: list[str], code: int, message: str
) -> None:
    outcome = probe(rws, bench, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert not cache.exists()
