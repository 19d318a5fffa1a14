"""Tables 1, 4 and 5 against `evaluate`."""

from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.paper.study import Study
from benchmarks.paper.tables import measure_all_layers, measure_robust, run
from rwsstore.errors import ConfigError, MissingFileError
from rwsstore.measure import EvaluationOptions, accuracy, evaluate
from rwsstore.models import save_checkpoint
from tests.benchmarks.making import (
    FIVE,
    NAMES,
    TEST,
    a_study,
    check_done_once,
    files_of,
    models,
    settings,
    table,
)  # fmt: skip
from tests.training.tiny import classifier


def test_numbers_are_those_of_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = check_done_once(run, "tables", tmp_path, monkeypatch)
    before = (study.work / "tables.json").read_bytes()
    with pytest.raises(ConfigError, match=r"settings\.severity was 5, and is 3 now"):
        a_study("tables", tmp_path, settings=settings(severity=3))
    assert (study.work / "tables.json").read_bytes() == before
    page = (study.docs / "tables.md").read_text()
    monkeypatch.undo()
    wide = {name: study.wide.get(name) for name in NAMES} if study.wide else {}
    report = evaluate(models()[0], wide, TEST, EvaluationOptions(bits=(16, 8, 2)))
    rows = {row[0]: row[1:] for row in table(page, "3 corruptions")}
    clean = rows["clean model"]
    assert clean[0] == f"{report.mean.clean_model:.1f}"
    assert clean[2:5] == [f"{report.clean_accuracy:.1f}", "0", "0"]
    for bits, stored in report.by_bits.items():
        found = rows[f"RWS, {bits} bits"]
        assert found[0] == f"{stored.mean.patched:.1f}"
        assert stored.gap_recovered is not None
        assert found[1] == f"{stored.gap_recovered:.2f}"
        ta = fmean(one.patched_clean_accuracy for one in stored.corruptions.values())
        assert found[2] == f"{ta:.1f}"
        assert found[3:5] == [f"{stored.patch_payload_bytes:,}", f"{stored.patch_file_bytes:,}"]
        assert found[5] == f"{stored.patch_payload_bytes / report.model_bytes:.3f}"
        single = {row[0]: row for row in table(page, "RA by corruption")[1:]}
        place = table(page, "RA by corruption")[0].index(f"RWS, {bits} bits")
        for name, one in stored.corruptions.items():
            assert single[name][1] == f"{one.clean_model:.1f}"
            assert single[name][place] == f"{one.patched:.1f}"
    assert set(files_of(study)) == {"tables.md", "tables.png", "tables-bytes.png"}
    assert all(
        data.startswith(b"\x89PNG") for name, data in files_of(study).items() if "png" in name
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = a_study("tables", tmp_path_factory.mktemp("tables"))
    run(study)
    return study


def test_whole_models_and_all_layers(finished: Study) -> None:
    study = finished
    page = (study.docs / "tables.md").read_text()
    rows = {row[0]: row[1:] for row in table(page, f"Five corruptions: {', '.join(FIVE)}")}
    robust, size = (
        rows["one robust model each"],
        4 * sum(p.numel() for p in models()[0].parameters()),
    )
    size += 4 * 6  # mean and deviation
    assert robust[3] == f"{2 * size:,}"
    assert robust[5] == "2.000"
    ra = [
        accuracy(study.robust(name), study.corrupted(study.test, name), study.test.labels)
        for name in FIVE
    ]
    assert robust[0] == f"{fmean(ra):.1f}"
    every = measure_all_layers(study, FIVE)
    whole = measure_robust(study, FIVE)
    for name in FIVE:  # eight bits of everything are nearly the model itself
        assert every.ra[name] == pytest.approx(whole.ra[name], abs=7)
        assert every.carried[name][0] < size / 3
    assert list(rows)[-1] == "RWS, all layers, 8 bits"


def test_harm_is_named(finished: Study) -> None:
    page = (finished.docs / "tables.md").read_text()
    header, *rows = table(page, "RA by corruption")
    said = page.split("by more than 0.5 point: ", 1)[1].split(".\n", 1)[0]
    for name, *numbers in rows:
        for method, number in zip(header[1:], numbers, strict=True):
            if method.startswith("RWS") and "all" not in method and number:
                worse = float(number) < float(numbers[0]) - 0.5
                assert (f"{name} at {method.removeprefix('RWS, ')}" in said) == worse


def test_a_checkpoint_stands_for_data_augmentation(tmp_path: Path) -> None:
    path = tmp_path / "augmented.safetensors"
    save_checkpoint(path, models()[1])  # before folding: the very same predictions
    study = a_study("tables", tmp_path)
    run(study, augmented=path)
    assert not (study.work / "augmented.safetensors").exists()
    rows = {row[0]: row for row in table((study.docs / "tables.md").read_text(), "3 corruptions")}
    assert rows["data augmentation"][1:4] == rows["clean model"][1:4]
    assert rows["data augmentation"][4:6] == ["0", "0"]


def test_refusals_come_before_any_work(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, classifier("resnet18"))
    study = a_study("tables", tmp_path)
    with pytest.raises(ConfigError, match="another network"):
        run(study, augmented=other)
    with pytest.raises(MissingFileError, match="work-bundle"):
        run(a_study("tables", tmp_path, wide=None))
    assert not study.work.exists()
