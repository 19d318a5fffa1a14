import csv
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import MissingExtraError, MissingFileError
from rwsstore.measure import EvaluationReport, Interval, plot_report, report_table
from tests.measure.making import make_report


def test_json_has_what_scripts_ask_for() -> None:
    document = json.loads(json.dumps(make_report().to_dict()))
    assert document["clean_accuracy"] == 90.0
    assert document["model_bytes"] == 10_000
    assert document["patch_payload_bytes"] == 1000
    assert document["patch_file_bytes"] == 2000
    assert document["corruptions"]["fog"]["clean_model"] == 40.0
    assert document["corruptions"]["fog"]["patched"] == 60.25
    assert document["mean"]["clean_model"] == 40.5
    assert document["mean"]["patched"] == 60.75
    assert document["gap_recovered"] == 0.4091
    assert document["frost_source"] == "synthetic"


def test_json_has_the_intervals_and_without_resamples_none() -> None:
    document = json.loads(json.dumps(make_report(intervals=True).to_dict()))
    assert (document["resamples"], document["confidence"]) == (1000, 0.95)
    assert document["clean_accuracy_interval"] == {"low": 89.1, "high": 90.9}
    fog = document["by_bits"]["stored"]["corruptions"]["fog"]
    assert fog["clean_model_interval"] == {"low": 38.0, "high": 42.0}
    assert fog["by_severity"]["5"]["gain_interval"] == {"low": 19.25, "high": 21.25}
    without = json.loads(json.dumps(make_report().to_dict()))
    assert without["resamples"] == 0
    assert without["clean_accuracy_interval"] is without["gap_recovered_interval"] is None
    assert without["corruptions"]["fog"]["patched_interval"] is None


def test_a_report_from_before_there_were_intervals_is_read() -> None:
    report = make_report(rival=True)
    document = report.to_dict()

    def without_intervals(value: object) -> object:
        if not isinstance(value, dict):
            return value
        gone = ("resamples", "confidence")
        kept = {k: v for k, v in value.items() if "interval" not in str(k) and k not in gone}
        return {key: without_intervals(inner) for key, inner in kept.items()}

    old = without_intervals(document)
    assert "interval" not in json.dumps(old)
    assert EvaluationReport.model_validate(old) == report


@pytest.mark.parametrize("ends", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_interval_has_two_ends_in_order(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"low|finite"):
        Interval(low=ends[0], high=ends[1])


def test_csv_has_a_row_for_each_corruption_severity_and_width() -> None:
    text = make_report(widths=("8", "4")).to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert rows[0] == {
        "bits": "8", "corruption": "fog", "severity": "5", "patch": "fog_patch",
        "clean_model": "40.000", "patched": "60.250", "clean_model_low": "",
        "clean_model_high": "", "patched_low": "", "patched_high": "", "gain_low": "",
        "gain_high": "",
    }  # fmt: skip
    assert [row["bits"] for row in rows] == ["8", "8", "4", "4"]
    assert "\r" not in text


def test_csv_has_both_ends_of_each_interval() -> None:
    row = next(csv.DictReader(io.StringIO(make_report(intervals=True).to_csv())))
    assert (row["clean_model_low"], row["clean_model_high"]) == ("38.000", "42.000")
    assert (row["patched_low"], row["patched_high"]) == ("57.250", "63.250")
    assert (row["gain_low"], row["gain_high"]) == ("19.250", "21.250")


def rendered(report: EvaluationReport, width: int = 100, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=terminal)
    console.print(report_table(report), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_every_number() -> None:
    text = rendered(make_report(widths=("8", "4"), rival=True))
    for wanted in (
        "1,234 images of tiny, severity 5", "its patch, 8 bits", "its patch, 4 bits",
        "BN, batch 200", "fog",
        "40.0", "60.2", "88.5", "90.0", "70.0", "55.5", "mean", "40.5",
        "8 bits: gap recovered 41 %\n",
        "4 bits: 2 patches, 1,000 bytes (10.0% of the model's 10,000)",
        "frost: synthetic", "BN: BatchNorm",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "±" not in text


def test_the_table_shows_intervals_and_fits_into_a_hundred_columns() -> None:
    one = make_report(tuple(CORRUPTIONS), widths=("8", "4"), rival=True, intervals=True)
    rival = dict.fromkeys((1, 8, 200), one.rival[1])
    report = one.model_copy(update={"rival": rival})
    text = rendered(report)
    for wanted in (
        "90.0 ± 0.9", "40.5 ± 1.2", "60.8 ± 1.8", "8 bits: gap recovered 41 % (39 to 43)\n",
        "the 95 % bootstrap interval", *CORRUPTIONS,
    ):  # fmt: skip
        assert wanted in text, wanted
    names = [line.split()[0] for line in text.splitlines()[2:] if line]
    assert names[: len(CORRUPTIONS) + 2] == ["none", *CORRUPTIONS, "mean"]  # a line each
    shown = rendered(report, terminal=True)
    assert max(map(len, shown.splitlines())) <= 100
    assert [line.split()[0] for line in shown.splitlines() if " 88.5 " in line] == [*CORRUPTIONS]
    assert "Not shown" not in shown


def test_the_table_of_patches_as_stored() -> None:
    text = rendered(make_report())
    assert "with its patch" in text
    assert "as stored: gap recovered" in text
    assert "BatchNorm" not in text


def test_the_table_without_frost_or_gap() -> None:
    report = make_report(("fog",))
    first = report.by_bits["stored"].model_copy(update={"gap_recovered": None})
    text = rendered(report.model_copy(update={"by_bits": {"stored": first}}))
    assert "no gap" in text
    assert "synthetic" not in text


def test_a_dataset_may_be_called_anything() -> None:
    name = "imagefolder:[/b][red]x"
    assert f"images of {name}," in rendered(make_report(dataset=name))


@pytest.mark.parametrize("intervals", [False, True], ids=["bare", "intervals"])
@pytest.mark.parametrize("names", [("fog",), tuple(CORRUPTIONS)], ids=["one", "all"])
def test_the_picture_is_written(tmp_path: Path, names: tuple[str, ...], intervals: bool) -> None:
    path = tmp_path / "report.png"
    plot_report(make_report(names, intervals=intervals), path)
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width >= 300
        assert picture.height >= 300
        assert len(set(picture.convert("L").tobytes())) > 10
    assert list(tmp_path.iterdir()) == [path]


def test_the_picture_of_many_is_no_wider_than_a_page_shows(tmp_path: Path) -> None:
    plot_report(make_report(tuple(CORRUPTIONS)), tmp_path / "all.png")
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.width < 1800


def test_the_picture_is_ordered_by_group_whatever_the_order_of_the_report(tmp_path: Path) -> None:
    report = make_report(tuple(CORRUPTIONS))
    mixed = sorted(report.corruptions.items())
    groups = [CORRUPTIONS[name].group for name, _ in mixed]
    assert groups != sorted(groups, key=["noise", "blur", "weather", "digital"].index)
    paths = tmp_path / "mixed.png", tmp_path / "by_group.png"
    plot_report(report.model_copy(update={"corruptions": dict(mixed)}), paths[0])
    order = ["noise", "blur", "weather", "digital"]
    by_group = dict(sorted(mixed, key=lambda item: order.index(CORRUPTIONS[item[0]].group)))
    plot_report(report.model_copy(update={"corruptions": by_group}), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_intervals_change_the_picture(tmp_path: Path) -> None:
    paths = tmp_path / "bare.png", tmp_path / "intervals.png"
    for path, intervals in zip(paths, (False, True), strict=True):
        plot_report(make_report(intervals=intervals), path)
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_a_picture_replaces_another_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    path.write_bytes(b"old")
    plot_report(make_report(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        plot_report(make_report(), tmp_path / "none" / "report.png")


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"rwsstore\[plots\]"):
        plot_report(make_report(), tmp_path / "report.png")
    assert list(tmp_path.iterdir()) == []
