"""Flips counted by what they cost."""

import csv
import io
import json
from fractions import Fraction

import pytest
import torch
from hypothesis import given, strategies as st
from rich.console import Console
from torch import Tensor

from rwsstore.measure import Resampling, bootstrap
from rwsstore.probes.bitflips import FORMATS, BitflipReport, Sites, Survey, draw_bitflips
from rwsstore.probes.bitflips.memory import StoredArray
from rwsstore.probes.bitflips.report import DECILES
from tests.probes.bitflips.making import sites

FLOATS = StoredArray("net.a.weight", "net.a.weight", "net.a", 5, FORMATS["float32"])
CODES = StoredArray("net.b.weight.q", "net.b.weight", "net.b", 5, FORMATS["int4"])


def made_up(
    right: list[int],
    *,
    chosen: Sites | None = None,
    arrays: tuple[StoredArray, ...] = (FLOATS, CODES),
    clean: int = 90,
    images: int = 100,
    classes: int = 10,
    broken: list[int] | None = None,
) -> Survey:
    rows = [(0, place % 5, place % 32) for place in range(len(right))]
    return Survey(
        sites=chosen or sites(*rows),
        arrays=arrays,
        format="made up",
        right=torch.tensor(right),
        broken=torch.tensor(broken or [0] * len(right)),
        clean_right=clean,
        images=images,
        classes=classes,
    )


@given(st.data())
def test_deciles_are_those_of_fractions(data: st.DataObject) -> None:
    images = data.draw(st.integers(2, 60))
    classes = data.draw(st.integers(2, 12))
    clean = data.draw(st.integers(images // classes + 1, images))
    right = data.draw(st.integers(0, images))
    report = BitflipReport.of(
        made_up([right], clean=clean, images=images, classes=classes),
        resampling=Resampling(resamples=0),
    )
    lost = Fraction(clean - right, images)
    for counts, whole in (
        (report.total.rad, Fraction(clean, images)),
        (report.total.adjusted, Fraction(clean, images) - Fraction(1, classes)),
    ):
        decile = min(9, max(0, lost / whole * 10 // 1))
        assert counts == tuple(int(place == decile) for place in range(10))
    assert report.total.erratic == int(lost / Fraction(clean, images) > Fraction(1, 10))


def test_borders_belong_to_the_upper_decile() -> None:
    # 81 of 90 is a RAD of just 10 %, 9 of 90 one of 90 %; drops above chance are parts of 80.
    report = BitflipReport.of(made_up([90, 99, 81, 80, 9, 0]))
    assert report.total.rad == (2, 2, 0, 0, 0, 0, 0, 0, 0, 2)
    assert report.total.adjusted == (2, 2, 0, 0, 0, 0, 0, 0, 0, 2)
    assert report.total.erratic == 3  # more than 10 %, not just 10 %
    assert (DECILES[0], DECILES[-1]) == ("0-10 %", "90-100 %")


def test_guessing_is_a_whole_drop_above_chance_and_no_whole_rad() -> None:
    report = BitflipReport.of(made_up([10, 18, 19]))
    assert report.total.rad[7:] == (1, 2, 0)  # 71, 72 and 80 of 90
    assert report.total.adjusted[8:] == (1, 2)


def test_groups_and_erratic_parameters() -> None:
    chosen = sites((0, 1, 30), (0, 1, 30), (0, 2, 5), (1, 1, 3), (1, 1, 0), (1, 4, 3))
    report = BitflipReport.of(
        made_up([10, 90, 90, 50, 85, 90], chosen=chosen, broken=[100, 0, 1, 0, 0, 0])
    )
    assert [(t.name, t.flips, t.erratic, t.broken) for t in report.by_bit] == [
        ("float32 bit 30", 2, 1, 1),
        ("float32 bit 5", 1, 0, 1),
        ("int4 bit 3", 2, 1, 0),
        ("int4 bit 0", 1, 0, 0),
    ]
    assert [(t.name, t.flips, t.erratic) for t in report.by_layer] == [
        ("net.a", 3, 1),
        ("net.b", 3, 1),
    ]
    assert (report.parameters, report.erratic_parameters) == (4, 2)
    assert report.total.flips == 6


def test_of_one_format_a_bit_needs_no_more_than_its_number() -> None:
    report = BitflipReport.of(made_up([90, 90], arrays=(FLOATS,)))
    assert [tally.name for tally in report.by_bit] == ["bit 1", "bit 0"]


def severe(right: list[int]) -> Tensor:
    return torch.tensor([10 * (90 - hits) >= 9 * 80 for hits in right])


def test_shares_have_intervals_over_the_sites() -> None:
    right = [0, 15, 90, 90, 90, 90, 90, 90, 90, 90, 18, 90]
    resampling = Resampling(resamples=200, confidence=0.9, seed=7)
    report = BitflipReport.of(made_up(right), resampling=resampling)
    expected = bootstrap({"severe": severe(right)}, resampling)["severe"]
    assert report.severe.value == expected.value == pytest.approx(25.0)
    assert report.severe.interval == expected.interval
    assert report.severe_rad.value == pytest.approx(100 / 12)
    without = BitflipReport.of(made_up(right), resampling=Resampling(resamples=0))
    assert without.severe.interval is None
    assert without.to_dict()["severe"] == {"value": pytest.approx(25.0), "interval": None}


def test_json_and_csv_say_what_was_found() -> None:
    chosen = sites((0, 1, 30), (1, 4, 3))
    report = BitflipReport.of(made_up([10, 99], chosen=chosen, broken=[3, 0]), dataset="images")
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["clean_accuracy"] == 90.0
    assert document["dataset"] == "images"
    assert document["total"] == {
        "name": "all",
        "flips": 2,
        "rad": [1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        "adjusted": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "erratic": 1,
        "broken": 1,
    }
    low, high = document["severe"]["interval"]
    assert 0 <= low <= document["severe"]["value"] == 50 <= high <= 100
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [
        (row["array"], row["index"], row["bit"], row["right"], row["broken"]) for row in rows
    ] == [
        ("net.a.weight", "1", "30", "10", "3"),
        ("net.b.weight.q", "4", "3", "99", "0"),
    ]
    assert [float(row["rad"]) for row in rows] == pytest.approx([8 / 9, -0.1], abs=1e-6)
    assert [float(row["adjusted"]) for row in rows] == pytest.approx([1.0, -9 / 80], abs=1e-6)


def shown(report: BitflipReport) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(report.text())
    return captured.get()


def test_the_text_shows_every_table() -> None:
    chosen = sites((0, 1, 30), (0, 2, 30), (1, 4, 3), (1, 3, 3))
    report = BitflipReport.of(made_up([10, 90, 90, 70], chosen=chosen), dataset="[red]images")
    lines = [" ".join(line.split()) for line in shown(report).splitlines()]
    assert "4 flips in made up, 100 images of [red]images: accuracy 90.0 %" in lines
    assert "90-100 % 0 0.00 % 1 25.00 %" in lines
    assert "float32 bit 30 2 50.0 % 50.0 % 0.0 %" in lines
    assert "b 2 50.0 % 0.0 % 0.0 %" in lines
    assert any(line.startswith("bits that cost 90-100 %") and "25.00 % (" in line for line in lines)
    assert "parameters with a flip of more than 10 % RAD: 2 (50.0 %) of 4 tried" in lines
    without = BitflipReport.of(made_up([10, 90]), resampling=Resampling(resamples=0))
    assert "bootstrap" not in shown(without)


@pytest.mark.parametrize("right", [[90, 90], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]])
def test_it_is_drawn(right: list[int]) -> None:
    picture = draw_bitflips(BitflipReport.of(made_up(right)))
    assert picture.startswith(b"\x89PNG")
