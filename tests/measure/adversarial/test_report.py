import csv
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from rwsstore.errors import MissingExtraError, MissingFileError
from rwsstore.measure.adversarial import AdversarialReport, attack_table, plot_attacks
from tests.measure.adversarial.making import make_report


def test_json_is_read_back_as_the_report() -> None:
    report = make_report(masked=True)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert AdversarialReport.model_validate(document) == report
    worst = document["models"]["fog=0.5"]["budgets"][1]["worst_case"]
    assert (worst["accuracy"], worst["gain"]) == (27.5, 2.5)
    assert worst["gain_interval"] == {"low": 1.75, "high": 3.25}
    assert document["models"]["clean"]["clean"]["gain"] is None


def test_csv_has_a_row_for_each_accuracy() -> None:
    text = make_report().to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    # Each model: clean, and three at each of two budgets; each of two pairs: three, two budgets.
    assert len(rows) == 2 * (1 + 3 * 2) + 2 * 3 * 2
    assert rows[0] == {
        "made_on": "", "tried_on": "clean", "attack": "none", "epsilon": "0",
        "accuracy": "90.000", "low": "88.750", "high": "91.250", "gain": "", "gain_low": "",
        "gain_high": "",
    }  # fmt: skip
    patched = [row for row in rows if row["made_on"] == row["tried_on"] == "fog=0.5"]
    assert [row["attack"] for row in patched] == ["fgsm", "pgd10", "worst case"] * 2
    assert patched[0]["epsilon"] == "0.00784314"
    assert (patched[0]["gain"], patched[0]["gain_low"]) == ("2.500", "1.750")
    assert rows[-1]["made_on"] == "fog=0.5"
    assert (rows[-1]["tried_on"], rows[-1]["accuracy"]) == ("clean", "73.000")
    assert "\r" not in text
    bare = list(csv.DictReader(io.StringIO(make_report(intervals=False).to_csv())))
    assert {row["low"] for row in bare} == {""}


def rendered(report: AdversarialReport, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(attack_table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_the_numbers() -> None:
    text = rendered(make_report(masked=True, dataset="a [b] c"))
    for wanted in (
        "1,234 images of a [b] c, budgets in L∞", "fgsm", "pgd10", "0 (clean)", "90.0 ± 1.2",
        "2/255", "8/255", "50.5", "38.5 ± 1.2", "+2.5 ± 0.8", "tried on", "made on", "74.0",
        "worst case: right without", "fog=0.5 at 8/255: perturbations made on clean fool it",
        "by 4.5 points", "the 95 % bootstrap interval",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_one_model_has_nothing_to_be_compared_with() -> None:
    text = rendered(make_report(("clean",), intervals=False))
    assert "against" not in text
    assert "tried on" not in text
    assert "±" not in text
    assert "38.5" in text


def test_many_models_take_several_rows(tmp_path: Path) -> None:
    path = tmp_path / "attacks.png"
    plot_attacks(make_report(tuple("abcde")), path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert max(picture.size) < 6000


def test_the_picture_grows_with_the_models_and_shows_intervals(tmp_path: Path) -> None:
    sizes, pictures = [], []
    for names in (("clean",), ("clean", "fog")):
        for intervals in (False, True):
            path = tmp_path / "attacks.png"
            plot_attacks(make_report(names, intervals=intervals), path)
            pictures.append(path.read_bytes())
            with Image.open(path) as picture:
                sizes.append(picture.size)
    assert sizes[0] == sizes[1]
    assert sizes[2][1] > 1.5 * sizes[0][1]
    assert len(set(pictures)) == 4


def test_a_picture_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        plot_attacks(make_report(), tmp_path / "none" / "report.png")


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"rwsstore\[plots\]"):
        plot_attacks(make_report(), tmp_path / "report.png")
    assert list(tmp_path.iterdir()) == []
