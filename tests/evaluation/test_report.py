import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import MissingExtraError, MissingFileError
from rwsstore.evaluation import EvaluationReport, plot_report, report_table
from tests.evaluation.making import make_report


def test_json_has_what_scripts_ask_for() -> None:
    document = json.loads(json.dumps(make_report().to_dict()))
    assert document["clean_accuracy"] == 90.0
    assert document["model_bytes"] == 10_000
    assert document["patch_payload_bytes"] == 1000
    assert document["patch_file_bytes"] == 2000
    assert document["corruptions"]["fog"]["clean_model"] == 40.0
    assert document["corruptions"]["fog"]["patched"] == 60.25
    assert document["mean"] == {"clean_model": 40.5, "patched": 60.75}
    assert document["gap_recovered"] == 0.4091
    assert document["frost_source"] == "synthetic"


def test_csv_has_a_row_for_each_corruption_severity_and_width() -> None:
    text = make_report(widths=("8", "4")).to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert rows[0] == {
        "bits": "8", "corruption": "fog", "severity": "5", "patch": "fog_patch",
        "clean_model": "40.000", "patched": "60.250",
    }  # fmt: skip
    assert [row["bits"] for row in rows] == ["8", "8", "4", "4"]
    assert "\r" not in text


def rendered(report: EvaluationReport) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(report_table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_every_number() -> None:
    text = rendered(make_report(widths=("8", "4"), rival=True))
    for wanted in (
        "1,234 images of tiny, severity 5", "with its patch, 8 bits", "with its patch, 4 bits",
        "batch 200", "fog", "40.0", "60.2", "88.5", "90.0", "70.0", "55.5", "mean", "40.5",
        "gap recovered 41 %", "2 patches, 1,000 bytes (10.0% of the model's 10,000)",
        "frost: synthetic",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_the_table_of_patches_as_stored() -> None:
    text = rendered(make_report())
    assert "with its patch " in text
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


@pytest.mark.parametrize("names", [("fog",), tuple(CORRUPTIONS)], ids=["one", "all"])
def test_the_picture_is_written(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "report.png"
    plot_report(make_report(names), path)
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width >= 300
        assert picture.height >= 300
        assert len(set(picture.convert("L").tobytes())) > 10
    assert list(tmp_path.iterdir()) == [path]


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


def test_importing_the_package_does_not_import_matplotlib() -> None:
    code = "import sys, rwsstore.evaluation; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rwsstore.evaluation import plot_report;"
        "from tests.evaluation.making import make_report;"
        "plot_report(make_report(), Path(sys.argv[1]));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "report.png")]
    root = Path(__file__).parents[2]
    assert subprocess.run(command, check=False, cwd=root).returncode == 0
