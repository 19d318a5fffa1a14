"""`rws probe bitflips`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rwsstore.data import load_images
from rwsstore.files import Results
from rwsstore.measure import Resampling
from rwsstore.models import load_checkpoint, load_clean_model
from rwsstore.probes.bitflips import (
    BitflipReport,
    Memory,
    StoredPatch,
    StoredWeights,
    layer_sites,
    sample_sites,
    survey,
    surveying,
)
from rwsstore.store import Store
from tests.cli.conftest import Bench, Outcome, Rws

SMALL = ("--dataset", "digits", "--images", 30)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def probe(rws: Rws, bench: Bench, *more: object) -> Outcome:
    return rws("probe", "bitflips", "--model", bench.model, *SMALL, *more)


def expected(
    memory: Memory,
    *,
    layer: str | None = None,
    limit: int = 30,
    resamples: int = 1000,
    seed: int = 0,
    **sample: Any,
) -> BitflipReport:
    images = load_images("digits", "test", size=16).limit(limit, seed)
    if layer is None:
        sites = sample_sites(memory, sample.pop("count"), seed=seed, **sample)
    else:
        sites = layer_sites(memory, layer, **sample)
    found = survey(memory, images, sites)
    resampling = Resampling(resamples=resamples, seed=seed)
    return BitflipReport.of(found, dataset=images.name, resampling=resampling)


def test_everything_at_once(bench: Bench, rws: Rws, tmp_path: Path, cache: Path) -> None:
    written, drawn = tmp_path / "a.csv", tmp_path / "a.png"
    options = ("--bits", "exponent", "--sample", 40, "--seed", 3, "--format", "bfloat16")
    more = ("--resamples", 100, "--csv", written, "--png", drawn, "--json")
    outcome = probe(rws, bench, *options, *more)
    assert outcome.code == 0
    memory = StoredWeights(load_clean_model(bench.model), "bfloat16")
    report = expected(memory, count=40, bits="exponent", seed=3, resamples=100)
    assert outcome.document == json.loads(json.dumps(report.to_dict()))
    assert outcome.document["severe"]["value"] > 0
    assert written.read_text() == report.to_csv()
    assert len(list(csv.DictReader(io.StringIO(written.read_text())))) == 40
    with Image.open(drawn) as picture:
        assert picture.format == "PNG"
    assert "flipping bits 40/40" in outcome.err
    assert not list(cache.rglob("bitflips-*.json"))  # finished, so nothing is kept


def test_a_layer_is_surveyed_whole(bench: Bench, rws: Rws) -> None:
    outcome = probe(rws, bench, "--layer", "14", "--bits", "top", "--images", 8, "--json")
    memory = StoredWeights(load_clean_model(bench.model))
    layer = "network.classifier"
    report = expected(memory, layer=layer, bits="top", resamples=0, limit=8)
    assert outcome.document == report.to_dict()
    assert outcome.document["severe"]["interval"] is None
    assert outcome.document["total"]["flips"] == outcome.document["parameters"]


def test_the_bits_of_a_patch(bench: Bench, rws: Rws) -> None:
    store = ("--store", bench.store)
    outcome = probe(rws, bench, "--patch", "fog=0.5", *store, "--sample", 30, "--json")
    assert outcome.code == 0
    patch = Store(bench.store).get("fog")
    memory = StoredPatch(load_clean_model(bench.model), patch, 0.5)
    assert outcome.document == expected(memory, count=30).to_dict()
    assert outcome.document["format"] == "patch fog, 8 bits, strength 0.5"


def test_batchnorm_may_stay(bench: Bench, rws: Rws) -> None:
    path = bench.folder / "clean.unfolded.safetensors"
    options = ("--unfolded", "--sample", 30, "--bits", "30", "--json")
    outcome = rws("probe", "bitflips", "--model", path, *SMALL, *options)
    memory = StoredWeights(load_checkpoint(path))
    assert any(".norm" in row.name for row in memory.arrays)
    assert outcome.document == expected(memory, count=30, bits="30").to_dict()


def test_a_table_for_people(bench: Bench, rws: Rws) -> None:
    outcome = probe(rws, bench, "--sample", 20, "--bits", "30,31")
    assert outcome.code == 0
    assert "20 flips in float32, 30 images of digits" in outcome.out
    for word in ("RAD", "bit 31", "bit 30", "conv10", "bootstrap"):
        assert word in outcome.out


def test_an_interrupted_run_goes_on(
    bench: Bench, rws: Rws, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "_CHUNK", 2)
    options = ("--sample", 10, "--bits", "top", "--images", 20, "--resamples", 0, "--json")
    whole = probe(rws, bench, *options)
    original = Results.value

    def failing(self: Results, key: str, measure: Any) -> Any:
        if len(self) == 2:
            raise KeyboardInterrupt
        return original(self, key, measure)

    with monkeypatch.context() as patched:
        patched.setattr(Results, "value", failing)
        assert probe(rws, bench, *options).code == 130
    (kept,) = cache.rglob("bitflips-*.json")
    assert len(json.loads(kept.read_text())["numbers"]) == 2
    other = probe(rws, bench, *options, "--seed", 1)
    assert other.document != whole.document  # another run is not taken for this one
    again = probe(rws, bench, *options)
    assert again.document == whole.document
    assert not list(cache.rglob("bitflips-*.json"))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--sample", "5", "--layer", "1"], 4, "leave --sample out"),
        (["--layer", "1-2"], 4, "names 2 layers"),
        (["--layer", "conv99"], 4, "unknown layer"),
        (["--bits", "32"], 4, "with up to 32 bits"),
        (["--bits", "highest"], 4, "unknown choice of bits"),
        (["--sample", "999999999"], 4, "expected 1 to"),
        (["--sample", "0"], 2, "x>=1"),
        (["--patch", "fog", "--format", "float16"], 4, "as it is stored"),
        (["--patch", "fog,contrast"], 4, "names 2 patches"),
        (["--patch", "nothing"], 3, "nothing"),
        (["--allow-transfer"], 4, "go with --patch"),
        (["--resamples", "10"], 4, "40 or more"),
        (["--png", "nowhere/a.png"], 3, "there is no folder"),
        (["--csv", "nowhere/a.csv"], 3, "there is no folder"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench, rws: Rws, options: list[str], code: int, message: str, cache: Path
) -> None:
    store = ("--store", bench.store) if "--patch" in options else ()
    outcome = probe(rws, bench, *store, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert not cache.exists()
