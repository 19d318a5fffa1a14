"""The harness of the speed benchmark: that its rows run, its JSON, its files; not how fast."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import serving
from PIL import Image
from serving import ROWS
from speed_rows.growing import knee
from speed_rows.row import Finding, Result, Row, RowSettings, reached

from rwsstore.errors import ConfigError, RwsError
from rwsstore.models import Classifier
from rwsstore.patches import Patch
from rwsstore.speed import Ratio
from rwsstore.speed.subjects import MemoryUse

OF_THE_ISSUE = {
    "switch_vs_copy": "≤ 2.5",
    "switch_vs_reload": "≥ 20",
    "compose10_vs_copy": "≤ 25",
    "mixed8_vs_single": "≥ 0.87",
    "mixed32_vs_single": "≥ 0.83",
    "mixed8_vs_per_patch_fp32": "≥ 1.5",
    "mixed8_vs_per_patch_bf16": "≥ 2",
    "rest_vs_ceiling": "≥ 0.6",
    "rest_vs_litserve": "> 1",
    "rest_vs_bentoml": "> 1",
    "rest_vs_fastapi": "> 1",
    "p99_under_changes": "≤ 1.3",
    "memory_100_vs_models": "≤ 0.06",
}
SMOKE = RowSettings.for_smoke()
# Rows of 32 images differ from those of 8 by that number alone.
OTHERS = ("rest_", "p99_", "growth", "memory", "mixed32_")
IN_PROCESS = [name for name in ROWS if not name.startswith(OTHERS)]


def test_every_claim_is_a_row_with_what_it_requires() -> None:
    assert {name: row.required for name, row in ROWS.items() if row.required} == OF_THE_ISSUE
    assert "growth" in ROWS
    assert all(name == row.name for name, row in ROWS.items())


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_row_gives_a_ratio(name: str) -> None:
    finding = ROWS[name].measure(SMOKE)
    assert finding.ratio is not None
    ratio = finding.ratio
    assert 0 < ratio.low <= ratio.median <= ratio.high < math.inf
    assert sum(key.endswith("_ms") for key in finding.details) == 2


def test_memory_is_a_share_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process holds is measured in tests/speed/test_memory.py."""
    asked = []

    def measure(model: Classifier, patches: Sequence[Patch], **given: object) -> MemoryUse:
        asked.append((len(patches), given["patch_sets"]))
        return MemoryUse(patch_sets=3, live=90, half=10, patched=30, full_model=100)

    monkeypatch.setattr("speed_rows.growing.measure_memory", measure)
    finding = ROWS["memory_100_vs_models"].measure(SMOKE)
    assert asked == [(3, 3)]
    assert finding.ratio is not None
    assert finding.ratio.median == pytest.approx(0.1)
    assert finding.details["with_the_clean_model"] == pytest.approx(0.4)
    assert finding.details["patches"] == 3


def test_growth_gives_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"1": {"per_second": 10.0}, "4": {"per_second": 19.0}, "8": {"per_second": 20.0}}
    monkeypatch.setattr("speed_rows.growing.has_service", lambda: True)
    monkeypatch.setattr("speed_rows.growing.clients_curve", lambda _: clients)
    finding = ROWS["growth"].measure(SMOKE)
    assert finding.ratio is None
    assert set(finding.points) == {"patch_sets", "one_patch_set", "batch", "clients"}
    assert list(finding.points["patch_sets"]) == list(finding.points["batch"]) == ["1", "2", "4"]
    knees = finding.details["knees"]
    assert isinstance(knees, dict)
    assert knees["clients"] == 4


def test_growth_needs_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speed_rows.growing.has_service", lambda: False)
    assert "clients" not in ROWS["growth"].measure(SMOKE).points


def test_the_knee_is_where_more_brings_little() -> None:
    costs = {"1": 10.0, "2": 5.0, "4": 4.3, "8": 4.0, "16": 6.0}
    assert knee("batch", {place: {"ms_per_image": cost} for place, cost in costs.items()}) == 4


def one(name: str, median: float, required: str = "") -> Row:
    finding = Finding(Ratio(median, median / 2, median * 2), details={"a_ms": 1.0})
    return Row(name, f"what {name} is", "that", required, lambda _: finding)


def curves() -> Row:
    curve = {"1": {"ms": 2.0, "ms_per_image": 2.0}, "2": {"ms": 3.0, "ms_per_image": 1.5}}
    clients = {"1": {"per_second": 3.0, "p50_ms": 1.0, "p99_ms": 2.0}}
    points = {"patch_sets": curve, "one_patch_set": curve, "batch": curve, "clients": clients}
    knees = {"patch_sets": 2, "one_patch_set": 2, "batch": 2, "clients": 1}
    finding = Finding(None, points=points, details={"knees": knees})
    return Row("growth", "growth", "", "", lambda _: finding)


def failing(_: RowSettings) -> Finding:
    raise RwsError("the rival is not installed")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """Rows that take no time."""
    made = {row.name: row for row in (one("good", 2.0, "≤ 2.5"), one("bad", 3.0, "≤ 2.5"))}
    made["growth"] = curves()
    monkeypatch.setattr(serving, "ROWS", made)
    return made


def test_the_object_comes_last_and_holds_what_scripts_read(
    rows: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--json", "--threads", "1"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.strip().splitlines()[-1])
    assert list(found) == ["good", "bad", "growth"]
    assert found["good"] == {"ratio": 2.0, "spread": [1.0, 4.0]}
    assert set(found["growth"]) == {"points"}
    assert found["growth"]["points"]["batch"]["2"] == {"ms": 3.0, "ms_per_image": 1.5}
    assert "measuring" in captured.err


def test_the_table_says_what_was_reached(
    rows: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("good" in line and "≤ 2.5" in line and "yes" in line for line in lines)
    assert any("bad" in line and "NO" in line for line in lines)
    assert any("knee" in line for line in lines)


def test_a_smoke_run_is_held_against_nothing(
    rows: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--smoke"]) == 0
    assert "NO" not in capsys.readouterr().out


def test_rows_are_chosen_and_unknown_ones_refused(
    rows: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--json", "--rows", "bad, good", "--threads", "1"]) == 0
    assert list(json.loads(capsys.readouterr().out.splitlines()[-1])) == ["bad", "good"]
    with pytest.raises(SystemExit) as refused:
        serving.main(["--rows", "good,goof"])
    assert refused.value.code == 2
    message = capsys.readouterr().err
    assert "'goof'" in message
    assert "growth" in message


def test_a_row_that_fails_is_told_and_the_others_go_on(
    rows: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    rows["broken"] = Row("broken", "it", "that", "> 1", failing)
    assert serving.main(["--json", "--rows", "broken,good", "--threads", "1"]) == 1
    captured = capsys.readouterr()
    assert list(json.loads(captured.out.splitlines()[-1])) == ["good"]
    assert "not measured" in captured.out
    assert "broken could not be measured: the rival is not installed" in captured.err


def test_files_are_written_with_all_that_is_known(rows: dict[str, Row], tmp_path: Path) -> None:
    assert serving.main(["--out", str(tmp_path / "new"), "--threads", "1", "--repeats", "4"]) == 0
    written = tmp_path / "new"
    document = json.loads((written / "serving.json").read_text())
    assert set(document["rows"]) == {"good", "bad", "growth"}
    assert document["rows"]["good"]["ratio"] == 2.0
    assert document["rows"]["good"]["details"] == {"a_ms": 1.0}
    assert document["settings"]["repeats"] == 4
    assert document["machine"]["threads"] == 1
    page = (written / "serving.md").read_text()
    assert "| good | what good is | that | 2 | 1 … 4 | ≤ 2.5 | yes |" in page
    for name in ("serving.png", "serving-growth.png"):
        with Image.open(written / name) as image:
            assert min(image.size) > 200


@pytest.mark.parametrize("counts", [["--threads", "0"], ["--repeats", "0"]])
def test_counts_out_of_range_are_refused(counts: list[str]) -> None:
    with pytest.raises(SystemExit):
        serving.main(["--rows", "growth", *counts])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threads": 0}, "threads is 0; expected 1 or more"),
        ({"clients": -1}, "clients is -1; expected 1 or more"),
        ({"seconds": float("nan")}, "seconds is nan; expected more than 0"),
        ({"width": -1.0}, r"width is -1\.0; expected more than 0"),
        ({"warm_up": -1}, "warm_up is -1; expected 0 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RowSettings(**values)  # type: ignore[arg-type]  # some are whole numbers


@pytest.mark.parametrize(
    ("required", "median", "kept"),
    [("≤ 2.5", 2.5, True), ("≤ 2.5", 2.6, False), ("≥ 20", 20.0, True), ("≥ 20", 19.9, False),
     ("> 1", 1.0, False), ("> 1", 1.01, True), ("", 1.0, None)],
)  # fmt: skip
def test_what_is_required(required: str, median: float, kept: bool | None) -> None:
    ratio = Ratio(median, median, median)
    assert reached(required, ratio) is kept
    verdict = {True: "yes", False: "NO", None: ""}[kept]
    assert Result(one("x", median, required), Finding(ratio), "", 0.0).verdict == verdict
