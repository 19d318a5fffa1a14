import csv
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Bench, Rws

COMMON = ("evaluate", "--dataset", "digits", "--limit", 60)


def test_json_has_what_scripts_ask_for(bench: Bench, rws: Rws) -> None:
    outcome = rws(*COMMON, "--model", bench.model, "--store", bench.store, "--json")
    report = outcome.document
    assert outcome.code == 0
    assert set(report["corruptions"]) == {"fog", "contrast"}
    for pair in [*report["corruptions"].values(), report["mean"]]:
        assert 0 <= pair["clean_model"] <= 100
        assert 0 <= pair["patched"] <= 100
    mean, clean = report["mean"], report["clean_accuracy"]
    gap = (mean["patched"] - mean["clean_model"]) / (clean - mean["clean_model"])
    assert report["gap_recovered"] == pytest.approx(gap)
    assert report["frost_source"] == "synthetic"
    assert 0 < report["patch_payload_bytes"] < report["patch_file_bytes"]
    assert report["patch_payload_bytes"] < report["model_bytes"]


def test_fewer_bits_are_quantized_again_and_more_are_refused(bench: Bench, rws: Rws) -> None:
    model = [*COMMON, "--model", bench.model, "--store", bench.store]
    eight = rws(*model, "--bits", 8, "--json").document
    four = rws(*model, "--bits", 4, "--json").document
    refused = rws(*model, "--bits", 16, "--json")
    assert four["patch_payload_bytes"] < 0.6 * eight["patch_payload_bytes"]
    assert (refused.code, refused.out) == (4, "")
    assert "16 bits asked of a patch stored at 8" in refused.err


def test_the_table_names_every_corruption_and_the_rival(bench: Bench, rws: Rws) -> None:
    rival = bench.folder / "clean.unfolded.safetensors"
    model = ["--model", bench.model, "--store", bench.store, "--rival", rival]
    outcome = rws(*COMMON, *model, "--severity", "3,5", "--bits", 8, "--bits", 2)
    assert outcome.code == 0
    for text in ("fog", "contrast", "clean model", "8 bits", "2 bits", "batch 200", "severity 3"):
        assert text in outcome.out


def test_csv_and_png_are_written_beside(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    rows, picture = tmp_path / "rows.csv", tmp_path / "bars.png"
    model = ["--model", bench.model, "--store", bench.store]
    outcome = rws(*COMMON, *model, "--severity", "1-2", "--csv", rows, "--png", picture)
    assert outcome.code == 0
    with rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["corruption"], row["severity"]) for row in table] == [
        ("fog", "1"),
        ("fog", "2"),
        ("contrast", "1"),
        ("contrast", "2"),
    ]
    with Image.open(picture) as image:
        assert min(image.size) > 300


def test_figures_have_intervals_unless_none_are_wanted(bench: Bench, rws: Rws) -> None:
    model = [*COMMON, "--model", bench.model, "--store", bench.store]
    report = rws(*model, "--json").document
    interval = report["clean_accuracy_interval"]
    assert interval["low"] < report["clean_accuracy"] < interval["high"]
    assert report["resamples"] == 1000
    assert rws(*model, "--json").document == report
    bare = rws(*model, "--json", "--resamples", 0).document
    assert bare["clean_accuracy"] == report["clean_accuracy"]
    assert bare["mean"]["gain_interval"] is bare["clean_accuracy_interval"] is None
    assert "±" in rws(*model, "--resamples", 40).out
    assert "±" not in rws(*model, "--resamples", 0).out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--corruptions", "snow"], 3, "no RWS patch of this model for snow"),
        (["--corruptions", "fgo"], 4, "Did you mean 'fog'?"),
        (["--severity", "6"], 4, "expected 1 to 5"),
        (["--severity", "5-3"], 4, "severity '5-3'"),
        (["--bits", "7"], 2, "'7' is not one of"),
        (["--bits", "4", "--bits", "4"], 4, "twice"),
        (["--store", "empty"], 3, "no RWS patch of this model"),
        (["--dataset", "imagefolder:nowhere"], 3, "nowhere"),
        (["--frost-overlays", "nowhere"], 3, "nowhere"),
        (["--network", "vgg16"], 4, "--num-classes"),
        (["--resamples", "39"], 4, "40 or more"),
        (["--resamples", "-1"], 2, "--resamples"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench,
    rws: Rws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = rws(*COMMON, "--model", bench.model, "--store", bench.store, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_patches_of_other_clean_weights_need_to_be_asked_for(
    bench: Bench, rws: Rws, stranger: Path
) -> None:
    model = [*COMMON, "--model", stranger, "--store", bench.store, "--json"]
    assert rws(*model).code == 3
    assert set(rws(*model, "--allow-transfer").document["corruptions"]) == {"fog", "contrast"}


def test_all_counts_a_corruption_without_a_patch_as_not_recovered(bench: Bench, rws: Rws) -> None:
    model = [*COMMON, "--model", bench.model, "--store", bench.store, "--corruptions", "weather"]
    report = rws(*model, "--json").document
    assert set(report["corruptions"]) == {"snow", "frost", "fog", "brightness", "spatter"}
    snow = report["corruptions"]["snow"]
    assert snow["patch"] is None
    assert snow["patched"] == snow["clean_model"]
    assert report["corruptions"]["fog"]["patch"] == "fog"
    assert rws(*model).out.count("no patch") == 4


def test_what_cannot_be_written_is_refused_before_measuring(
    bench: Bench, rws: Rws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = [*COMMON, "--model", bench.model, "--store", bench.store]
    nowhere = tmp_path / "nowhere" / "rows.csv"
    outcome = rws(*model, "--csv", nowhere)
    assert (outcome.code, outcome.out) == (3, "")
    assert "there is no folder" in outcome.err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = rws(*model, "--png", tmp_path / "bars.png")
    assert (outcome.code, outcome.out) == (1, "")
    assert "pip install 'rwsstore[plots]'" in outcome.err


def test_all_on_an_empty_store_finds_nothing(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    model = [*COMMON, "--model", bench.model, "--store", tmp_path / "none"]
    assert rws(*model, "--corruptions", "all").code == 3
